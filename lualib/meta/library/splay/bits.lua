---@meta splay.bits
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@alias splay.bits boolean[]

local M = {}

--- Makes all of the first `size` bits false.
---
--- `bits.init({}, 3)  --> { false, false, false }`
---
--- Manual: 'splay.bits'
---@param bits splay.bits changed
---@param size integer
---@return splay.bits bits
function M.init(bits, size) end

--- Turns a string into a table of bits.
---
--- `bits.ascii_to_bits("\192", 3)  --> { true, true, false }`
---
--- Manual: 'splay.bits'
---@param s? string
---@param max_length? integer bits at most
---@return splay.bits? bits nil for nil
function M.ascii_to_bits(s, max_length) end

--- Turns a table of bits into a string; missing bits of the last byte are 0.
---
--- `bits.bits_to_ascii({ true, true })  --> "\192"`
---
--- Manual: 'splay.bits'
---@param bits splay.bits
---@return string s
function M.bits_to_ascii(bits) end

--- Shows bits as digits, a blank after every eight.
---
--- `bits.show_bits("\5\128")  --> "00000101 10000000 "`
---
--- Manual: 'splay.bits'
---@param bits splay.bits|string
---@return string text
function M.show_bits(bits) end

--- Counts all bits.
---
--- `bits.size("ab")  --> 16`
---
--- Manual: 'splay.bits'
---@param bits splay.bits|string
---@return integer
function M.size(bits) end

--- Counts the bits that are set.
---
--- `bits.count({ true, false, true })  --> 2`
---
--- Manual: 'splay.bits'
---@param bits splay.bits|string
---@return integer
function M.count(bits) end

--- Tells whether a bit is set.
---
--- `bits.is_set("\128", 1)  --> true`
---
--- Manual: 'splay.bits'
---@param bits splay.bits|string
---@param bit integer
---@return boolean
function M.is_set(bits, bit) end

--- Sets a bit.
---
--- `local b = bits.init({}, 8)  bits.set(b, 3)`
---@param bits splay.bits changed
---@param bit integer
function M.set(bits, bit) end

return M
