--- Sets of bits kept in strings, eight to a byte. Bits count from 0, the lowest bit of a byte
--- first. Wrong arguments give nil and a reason.
---
--- Since: 0.1

local core = require "splay.data_bits_core"

local M = {}

--- Inverts every bit.
---
--- `data_bits.dnot("\0")  --> "\255"`
---@param s string
---@return string
M.dnot = core.dnot

--- Bits set in either string; both have the same length.
---
--- `data_bits.dor("\1", "\2")  --> "\3"`
---
--- Errors: `nil, "length of strings is not equal"`.
---@param a string
---@param b string
---@return string?
---@return string?
M.dor = core.dor

--- Bits set in both strings; both have the same length.
---
--- `data_bits.dand("\3", "\2")  --> "\2"`
---
--- Errors: `nil, "length of strings is not equal"`.
---@param a string
---@param b string
---@return string?
---@return string?
M.dand = core.dand

--- Counts the bits that are set.
---
--- `data_bits.cardinality("\255\1")  --> 9`
---@param s string
---@return integer
M.cardinality = core.cardinality

--- Shortens a set: without the zero bytes at its end.
---
--- `data_bits.pack("\1\0\0")  --> "\1"`
---@param s string
---@return string
M.pack = core.pack

--- Undoes `pack`.
---
--- `data_bits.unpack("\1", 3)  --> "\1\0\0"`
---
--- Errors: `nil, "reason"` if it does not fit.
---@param packed string
---@param bytes integer
---@return string?
---@return string?
M.unpack = core.unpack

--- Sets a bit.
---
--- `data_bits.set_bit("\0", 8)  --> nil, "invalid position"`
---
--- Errors: `nil, "invalid position"`.
---@param s string
---@param position integer
---@return string?
---@return string?
M.set_bit = core.set_bit

--- Clears a bit.
---
--- `data_bits.unset_bit("\3", 0)  --> "\2"`
---
--- Errors: `nil, "invalid position"`.
---@param s string
---@param position integer
---@return string?
---@return string?
M.unset_bit = core.unset_bit

--- Reads a bit.
---
--- `data_bits.get_bit("\2", 1)  --> 1`
---
--- Errors: `nil, "invalid position"`.
---@param s string
---@param position integer
---@return 0|1|nil
---@return string?
M.get_bit = core.get_bit

--- Makes a set from a text: the number of bits, then the positions that are set.
---
--- `data_bits.from_string("16 0 9")  --> "\1\2"`
---
--- Errors: `nil, "reason"` if the text is none.
---@param text string
---@return string?
---@return string?
M.from_string = core.from_string

return M
