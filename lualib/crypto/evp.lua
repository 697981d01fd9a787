--- The part `evp` of `crypto` as a module of its own.

return require("crypto").evp
