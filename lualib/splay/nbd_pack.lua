--- `string.pack` and its kin for scripts of Lua 5.3, part of `splay.nbd`. Integers alone: no
--- fractions, and no alignment.

local floor, char, byte, rep = math.floor, string.char, string.byte, string.rep

local M = {}

-- Bytes of an integer by its letter; capitals have no sign.
local SIZES = { b = 1, h = 2, i = 4, l = 8, j = 8, B = 1, H = 2, I = 4, L = 8, J = 8, T = 8 }

-- Calls `each(letter, size, little)` for the items of a format.
local function walk(format, each)
  local little, at = true, 1
  while at <= #format do
    local letter, digits = format:match("^(.)(%d*)", at)
    at = at + 1
    if letter == "<" or letter == "=" then
      little = true
    elseif letter == ">" then
      little = false
    elseif letter ~= " " then
      local size = SIZES[letter]
      if letter == "i" or letter == "I" or letter == "s" or letter == "c" then
        at = at + #digits
        size = tonumber(digits) or size or letter == "s" and 8
        if letter == "c" and not size then error("missing size for format option 'c'", 3) end
        if letter ~= "c" and (size < 1 or size > 16) then
          error(("integral size (%d) out of limits [1,16]"):format(size), 3)
        end
      elseif not size and letter ~= "z" and letter ~= "x" then
        error(("format option '%s' is not supported here"):format(letter), 3)
      end
      each(letter, size, little)
    end
  end
end

local function signed(letter) return letter == "b" or letter == "h" or letter == "i"
  or letter == "l" or letter == "j"
end

local function encode(number, size, little)
  local bytes = {}
  for i = 1, size do
    bytes[little and i or size + 1 - i] = char(number % 256)
    number = floor(number / 256)
  end
  return table.concat(bytes)
end

local function decode(s, at, size, little, negative)
  local number = 0
  for i = size - 1, 0, -1 do
    number = number * 256 + byte(s, little and at + i or at + size - 1 - i)
  end
  if not negative or byte(s, little and at + size - 1 or at) < 128 then return number end
  -- From the complement: the number itself may need more bits than there are.
  number = 0
  for i = size - 1, 0, -1 do
    number = number * 256 + 255 - byte(s, little and at + i or at + size - 1 - i)
  end
  return -number - 1
end

--- See `string.pack` of Lua 5.3.
---@param format string
---@param ... any
---@return string
function M.pack(format, ...)
  local parts, values, n = {}, { ... }, 0
  walk(format, function(letter, size, little)
    if letter == "x" then
      parts[#parts + 1] = "\0"
      return
    end
    n = n + 1
    local value = values[n]
    if letter == "z" or letter == "s" or letter == "c" then
      value = tostring(value)
      if letter == "s" then value = encode(#value, size, little) .. value end
      if letter == "z" then value = value .. "\0" end
      if letter == "c" then
        if #value > size then error("string longer than given size", 3) end
        value = value .. rep("\0", size - #value)
      end
      parts[#parts + 1] = value
      return
    end
    local number = tonumber(value)
    if not number or number ~= floor(number) then
      error(("bad argument #%d to 'pack' (integer expected)"):format(n + 1), 3)
    end
    local low, high = 0, 2 ^ (8 * size)
    if signed(letter) then low, high = -high / 2, high / 2 end
    -- Lua's integers have 64 bits: what fills them has no sign either.
    if size < 8 and (number < low or number >= high) then
      error(("bad argument #%d to 'pack' (integer overflow)"):format(n + 1), 3)
    end
    parts[#parts + 1] = encode(number, size, little)
  end)
  return table.concat(parts)
end

--- See `string.packsize` of Lua 5.3.
---@param format string
---@return integer
function M.packsize(format)
  local total = 0
  walk(format, function(letter, size)
    if letter == "s" or letter == "z" then error("variable-length format", 3) end
    total = total + (letter == "x" and 1 or size)
  end)
  return total
end

--- See `string.unpack` of Lua 5.3.
---@param format string
---@param s string
---@param position integer?
---@return any ...
function M.unpack(format, s, position)
  local at, values, n = position or 1, {}, 0
  if at < 0 then at = #s + at + 1 end
  local function need(count)
    if at + count - 1 > #s then error("data string too short", 4) end
  end
  walk(format, function(letter, size, little)
    if letter == "x" then
      need(1)
      at = at + 1
      return
    end
    n = n + 1
    if letter == "z" then
      local zero = s:find("\0", at, true)
      if not zero then error("unfinished string for format 'z'", 3) end
      values[n] = s:sub(at, zero - 1)
      at = zero + 1
    elseif letter == "c" then
      need(size)
      values[n] = s:sub(at, at + size - 1)
      at = at + size
    else
      need(size)
      local number = decode(s, at, size, little, signed(letter))
      at = at + size
      if letter == "s" then
        need(number)
        values[n] = s:sub(at, at + number - 1)
        at = at + number
      else
        values[n] = number
      end
    end
  end)
  values[n + 1] = at
  return unpack(values, 1, n + 1)
end

return M
