---@meta crypto
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

--- `local d = crypto.evp.new("md5")`
--- `d:update("a"):digest("bc")  --> "900150983cd24fb0d6963f7d28e17f72"`
---@class crypto.digest
---@field update fun(self: crypto.digest, bytes: string): crypto.digest feeds bytes
---@field digest fun(self: crypto.digest, bytes?: string, raw?: boolean): string feeds bytes and
--- returns the digest of all bytes so far; more may follow
---@field clone fun(self: crypto.digest): crypto.digest copies the object and its state
---@field reset fun(self: crypto.digest) forgets all bytes

---@class crypto
local M = {}

--- Digests.
---@class crypto.evp
M.evp = {}

--- Makes an object that digests bytes as they come.
---
--- `crypto.evp.new("md5"):digest("abc")  --> "900150983cd24fb0d6963f7d28e17f72"`
---
--- Errors: raises for unknown types.
---@param type string digest type
---@return crypto.digest
function M.evp.new(type) end

--- Digests bytes.
---
--- `crypto.evp.digest("sha1", "abc")  --> "a9993e364706816aba3e25717850c26c9cd0d89d"`
---
--- Errors: raises for unknown types.
---@param type string digest type
---@param bytes string
---@param raw? boolean bytes instead of hexadecimal digits
---@return string digest
function M.evp.digest(type, bytes, raw) end

--- Digests that only who knows the key can make.
---@class crypto.hmac
M.hmac = {}

--- Makes an object that digests bytes as they come.
---
--- `#crypto.hmac.new("md5", "Jefe"):digest("abc")  --> 32`
---
--- Errors: raises for unknown types.
---@param type string digest type
---@param key string
---@return crypto.digest
function M.hmac.new(type, key) end

--- Digests bytes.
---
--- ```lua
--- crypto.hmac.digest("md5", "what do ya want for nothing?", "Jefe")
---   --> "750c783e6ab0b503eaa86e310a5db738"
--- ```
---
--- Errors: raises for unknown types.
---@param type string digest type
---@param bytes string
---@param key string
---@param raw? boolean bytes instead of hexadecimal digits
---@return string digest
function M.hmac.digest(type, bytes, key, raw) end

--- Random bytes, repeatable in a simulation.
---@class crypto.rand
M.rand = {}

--- Random bytes.
---
--- `#crypto.rand.bytes(16)  --> 16`
---@param n integer how many
---@return string bytes
function M.rand.bytes(n) end

--- Random bytes, as `bytes`.
---
--- `#crypto.rand.pseudo_bytes(16)  --> 16`
---@param n integer how many
---@return string bytes
function M.rand.pseudo_bytes(n) end

--- Without effect: the source needs no help.
---
--- `crypto.rand.add("some bytes")`
---@param bytes string
function M.rand.add(bytes) end

--- Without effect: the source needs no help.
---
--- `crypto.rand.seed("some bytes")`
---@param bytes string
function M.rand.seed(bytes) end

--- Whether the source is ready: it always is.
---
--- `crypto.rand.status()  --> true`
---@return boolean
function M.rand.status() end

--- Without effect: there is nothing to clean.
---
--- `crypto.rand.cleanup()`
---@return nil
function M.rand.cleanup() end

return M
