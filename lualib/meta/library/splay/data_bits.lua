---@meta splay.data_bits
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.data_bits
local M = {}

--- Inverts every bit.
---
--- `data_bits.dnot("\0")  --> "\255"`
---@param s string
---@return string
function M.dnot(s) end

--- Bits set in either string; both have the same length.
---
--- `data_bits.dor("\1", "\2")  --> "\3"`
---
--- Errors: `nil, "length of strings is not equal"`.
---@param a string
---@param b string
---@return string?
---@return string?
function M.dor(a, b) end

--- Bits set in both strings; both have the same length.
---
--- `data_bits.dand("\3", "\2")  --> "\2"`
---
--- Errors: `nil, "length of strings is not equal"`.
---@param a string
---@param b string
---@return string?
---@return string?
function M.dand(a, b) end

--- Counts the bits that are set.
---
--- `data_bits.cardinality("\255\1")  --> 9`
---@param s string
---@return integer
function M.cardinality(s) end

--- Shortens a set: without the zero bytes at its end.
---
--- `data_bits.pack("\1\0\0")  --> "\1"`
---@param s string
---@return string
function M.pack(s) end

--- Undoes `pack`.
---
--- `data_bits.unpack("\1", 3)  --> "\1\0\0"`
---
--- Errors: `nil, "reason"` if it does not fit.
---@param packed string
---@param bytes integer
---@return string?
---@return string?
function M.unpack(packed, bytes) end

--- Sets a bit.
---
--- `data_bits.set_bit("\0", 8)  --> nil, "invalid position"`
---
--- Errors: `nil, "invalid position"`.
---@param s string
---@param position integer
---@return string?
---@return string?
function M.set_bit(s, position) end

--- Clears a bit.
---
--- `data_bits.unset_bit("\3", 0)  --> "\2"`
---
--- Errors: `nil, "invalid position"`.
---@param s string
---@param position integer
---@return string?
---@return string?
function M.unset_bit(s, position) end

--- Reads a bit.
---
--- `data_bits.get_bit("\2", 1)  --> 1`
---
--- Errors: `nil, "invalid position"`.
---@param s string
---@param position integer
---@return 0|1|nil
---@return string?
function M.get_bit(s, position) end

--- Makes a set from a text: the number of bits, then the positions that are set.
---
--- `data_bits.from_string("16 0 9")  --> "\1\2"`
---
--- Errors: `nil, "reason"` if the text is none.
---@param text string
---@return string?
---@return string?
function M.from_string(text) end

return M
