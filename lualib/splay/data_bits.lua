--- Sets of bits kept in strings, eight to a byte. Bits count from 0, the lowest bit of a byte
--- first. Wrong arguments give nil and a reason.

local core = require "splay.data_bits_core"

local M = {}

--- Inverts every bit.
---@type fun(s: string): string
--- Example: `data_bits.dnot("\0")` --> "\255"
M.dnot = core.dnot

--- Bits set in either string; both have the same length.
---@type fun(a: string, b: string): string?, string?
--- Example: `data_bits.dor("\1", "\2")` --> "\3"
M.dor = core.dor

--- Bits set in both strings; both have the same length.
---@type fun(a: string, b: string): string?, string?
--- Example: `data_bits.dand("\3", "\2")` --> "\2"
M.dand = core.dand

--- Counts the bits that are set.
---@type fun(s: string): integer
--- Example: `data_bits.cardinality("\255\1")` --> 9
M.cardinality = core.cardinality

--- Shortens a set: without the zero bytes at its end.
---@type fun(s: string): string
--- Example: `data_bits.pack("\1\0\0")` --> "\1"
M.pack = core.pack

--- Undoes `pack`.
---@type fun(packed: string, bytes: integer): string?, string?
--- Example: `data_bits.unpack("\1", 3)` --> "\1\0\0"
M.unpack = core.unpack

--- Sets a bit.
---@type fun(s: string, position: integer): string?, string?
--- Example: `data_bits.set_bit("\0", 8)` --> nil, "invalid position"
M.set_bit = core.set_bit

--- Clears a bit.
---@type fun(s: string, position: integer): string?, string?
--- Example: `data_bits.unset_bit("\3", 0)` --> "\2"
M.unset_bit = core.unset_bit

--- Reads a bit.
---@type fun(s: string, position: integer): 0|1|nil, string?
--- Example: `data_bits.get_bit("\2", 1)` --> 1
M.get_bit = core.get_bit

--- Makes a set from a text: the number of bits, then the positions that are set.
---@type fun(text: string): string?, string?
--- Example: `data_bits.from_string("16 0 9")` --> "\1\2"
M.from_string = core.from_string

return M
