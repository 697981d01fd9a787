--- The part `evp` of `crypto` as a module of its own.
---
--- Since: 0.1

return require("crypto").evp
