--- The part `hmac` of `crypto` as a module of its own.

return require("crypto").hmac
