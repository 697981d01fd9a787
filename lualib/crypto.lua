--- Digests, keyed digests and random bytes, with the interface of luacrypto 0.2.
---
--- Digest types: "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160". Digests are
--- in hexadecimal unless `raw` is true.

---@class crypto.digest
---@field update fun(self: crypto.digest, bytes: string): crypto.digest feeds bytes
---@field digest fun(self: crypto.digest, bytes?: string, raw?: boolean): string feeds bytes and
--- returns the digest of all bytes so far; more may follow
---@field clone fun(self: crypto.digest): crypto.digest copies the object and its state
---@field reset fun(self: crypto.digest) forgets all bytes

---@class crypto
local M = require "splay.crypto_core"

--- Digests.
--- Example: `crypto.evp.digest("sha1", "abc")` --> "a9993e364706816aba3e25717850c26c9cd0d89d"
---@class crypto.evp
---@field new fun(type: string): crypto.digest
---@field digest fun(type: string, bytes: string, raw?: boolean): string
M.evp = M.evp

--- Digests that only who knows the key can make.
--- Example: `crypto.hmac.digest("md5", "what do ya want for nothing?", "Jefe")`
---   --> "750c783e6ab0b503eaa86e310a5db738"
---@class crypto.hmac
---@field new fun(type: string, key: string): crypto.digest
---@field digest fun(type: string, bytes: string, key: string, raw?: boolean): string
M.hmac = M.hmac

--- Random bytes, repeatable in a simulation. `add`, `seed` and `cleanup` do nothing, `status` is
--- true: the source needs no help.
--- Example: `#crypto.rand.bytes(16)` --> 16
---@class crypto.rand
---@field bytes fun(n: integer): string
---@field pseudo_bytes fun(n: integer): string
---@field add fun(bytes: string)
---@field seed fun(bytes: string)
---@field status fun(): boolean
---@field cleanup fun()
M.rand = M.rand

return M
