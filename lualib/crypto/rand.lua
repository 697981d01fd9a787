--- The part `rand` of `crypto` as a module of its own.

return require("crypto").rand
