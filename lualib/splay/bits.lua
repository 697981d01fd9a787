--- Bits as tables of true and false, and as strings of eight bits a byte. Bits
--- count from 1, the highest bit of a byte first.
---
--- Since: 0.1
--- Manual: 'splay.bits'

local type, floor = type, math.floor

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
function M.init(bits, size)
  for i = 1, size do
    bits[i] = false
  end
  return bits
end

--- Turns a string into a table of bits.
---
--- `bits.ascii_to_bits("\192", 3)  --> { true, true, false }`
---
--- Manual: 'splay.bits'
---@param s? string
---@param max_length? integer bits at most
---@return splay.bits? bits nil for nil
function M.ascii_to_bits(s, max_length)
  if not s then return nil end
  local bits = {}
  for i = 1, math.min(#s * 8, max_length or math.huge) do
    bits[i] = M.is_set(s, i)
  end
  return bits
end

--- Turns a table of bits into a string; missing bits of the last byte are 0.
---
--- `bits.bits_to_ascii({ true, true })  --> "\192"`
---
--- Manual: 'splay.bits'
---@param bits splay.bits
---@return string s
function M.bits_to_ascii(bits)
  local bytes = {}
  for first = 1, #bits, 8 do
    local byte = 0
    for i = first, first + 7 do
      byte = byte * 2 + (bits[i] and 1 or 0)
    end
    bytes[#bytes + 1] = string.char(byte)
  end
  return table.concat(bytes)
end

--- Shows bits as digits, a blank after every eight.
---
--- `bits.show_bits("\5\128")  --> "00000101 10000000 "`
---
--- Manual: 'splay.bits'
---@param bits splay.bits|string
---@return string text
function M.show_bits(bits)
  local text = {}
  for i = 1, M.size(bits) do
    text[#text + 1] = M.is_set(bits, i) and "1" or "0"
    if i % 8 == 0 then text[#text + 1] = " " end
  end
  return table.concat(text)
end

--- Counts all bits.
---
--- `bits.size("ab")  --> 16`
---
--- Manual: 'splay.bits'
---@param bits splay.bits|string
---@return integer
function M.size(bits)
  return type(bits) == "string" and #bits * 8 or #bits
end

--- Counts the bits that are set.
---
--- `bits.count({ true, false, true })  --> 2`
---
--- Manual: 'splay.bits'
---@param bits splay.bits|string
---@return integer
function M.count(bits)
  if type(bits) == "string" then return require("splay.data_bits").cardinality(bits) end
  local count = 0
  for i = 1, #bits do
    if bits[i] then count = count + 1 end
  end
  return count
end

--- Tells whether a bit is set.
---
--- `bits.is_set("\128", 1)  --> true`
---
--- Manual: 'splay.bits'
---@param bits splay.bits|string
---@param bit integer
---@return boolean
function M.is_set(bits, bit)
  if type(bits) ~= "string" then return bits[bit] and true or false end
  local byte = bits:byte(floor((bit - 1) / 8) + 1)
  return byte ~= nil and bit >= 1 and floor(byte / 2 ^ (7 - (bit - 1) % 8)) % 2 == 1
end

--- Sets a bit.
---
--- `local b = bits.init({}, 8)  bits.set(b, 3)`
---@param bits splay.bits changed
---@param bit integer
function M.set(bits, bit)
  bits[bit] = true
end

return M
