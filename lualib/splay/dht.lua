--- Identifiers of distributed hash tables and the geometries they live in: the ring of Chord and
--- Pastry, the xor metric of Kademlia, the digits of prefix routing. Nothing here sends a message.
---
--- An identifier is a number (up to 52 bits) or, at any size, a text of lowercase hexadecimal
--- digits: `between`, `distance`, `ring_distance` and `xor` take either, two of the same kind and
--- size, and what they return compares with `<` as identifiers do.
---
--- Since: 0.1
local bxor, tohex = require("bit").bxor, require("bit").tohex
local tonumber, type, floor = tonumber, type, math.floor

---@alias splay.dht.id number|string

---@class splay.dht
local M = {}

--- The first hexadecimal digits of the SHA-1 digest of a text (or of a node's address).
---
--- `dht.hex_id("abc", 16)  --> "a999"`
---
--- Errors: raises for other sizes than 4 to 160 bits in steps of 4.
---@param what string|splay.Node
---@param bits integer? a multiple of 4, default and at most 160
---@return string id
function M.hex_id(what, bits)
  bits = bits or 160
  if bits < 4 or bits > 160 or bits % 4 ~= 0 then
    error("an identifier has 4 to 160 bits, a multiple of 4", 2)
  end
  if type(what) == "table" then what = what.ip .. ":" .. what.port end
  return require("crypto").evp.digest("sha1", what):sub(1, bits / 4)
end

--- The first bits of the SHA-1 digest of a text (or of a node's address), as a number.
---
--- `dht.id("abc", 16)  --> 43417`
---
--- Errors: raises for other sizes than 1 to 52 bits.
---@param what string|splay.Node
---@param bits integer? 1 to 52, default 40
---@return number id
function M.id(what, bits)
  bits = bits or 40
  if bits < 1 or bits > 52 or bits % 1 ~= 0 then
    error("a number has 1 to 52 bits of an identifier", 2)
  end
  local digits = M.hex_id(what, bits + -bits % 4)
  return floor(tonumber(digits, 16) / 2 ^ (-bits % 4))
end

--- A random identifier.
---
--- `dht.random_id(16)  --> such as "07c3"`
---@param bits integer? a multiple of 4, default 160
---@return string id
function M.random_id(bits)
  local digits = {}
  for i = 1, (bits or 160) / 4 do digits[i] = ("%x"):format(math.random(0, 15)) end
  return table.concat(digits)
end

--- Whether `id` lies in the open interval (a, b), walking upwards on the ring. From a to a is
--- once around: everything but a.
---
--- `dht.between(1, 250, 5)  --> true`
--- `dht.between("07", "07", "07")  --> false`
---@param id splay.dht.id
---@param a splay.dht.id
---@param b splay.dht.id
---@return boolean
function M.between(id, a, b)
  if a < b then return a < id and id < b end
  if b < a then return a < id or id < b end
  return id ~= a
end

-- a - b of hexadecimal texts, modulo 16^length: twelve digits at a time, which a number holds.
local function subtract(a, b)
  local result, borrow = "", 0
  for last = #a, 1, -12 do
    local first = last > 12 and last - 11 or 1
    local size = last - first + 1
    local part = tonumber(a:sub(first, last), 16) - tonumber(b:sub(first, last), 16) - borrow
    borrow = part < 0 and 1 or 0
    part = part + borrow * 16 ^ size
    local high = floor(part / 2 ^ 24)
    local text = ("%06x%06x"):format(high, part - high * 2 ^ 24)
    result = text:sub(13 - size) .. result
  end
  return result
end

--- How far it is from `a` upwards to `b` on the ring.
---
--- `dht.distance(250, 5, 8)  --> 11`
--- `dht.distance("fa", "05")  --> "0b"`
---@generic T: splay.dht.id
---@param a T
---@param b T
---@param bits integer? of the ring; needed for numbers only
---@return T
function M.distance(a, b, bits)
  if type(a) == "number" then return (b - a) % 2 ^ bits end
  return subtract(b, a)
end

--- How far it is between `a` and `b` on the ring, the shorter way around.
---
--- `dht.ring_distance(5, 250, 8)  --> 11`
--- `dht.ring_distance("05", "fa")  --> "0b"`
---@generic T: splay.dht.id
---@param a T
---@param b T
---@param bits integer? of the ring; needed for numbers only
---@return T
function M.ring_distance(a, b, bits)
  local up, down = M.distance(a, b, bits), M.distance(b, a, bits)
  return up < down and up or down
end

--- The distance of Kademlia: the exclusive or of two identifiers.
---
--- `dht.xor(6, 3)  --> 5`
--- `dht.xor("0f06", "0003")  --> "0f05"`
---@generic T: splay.dht.id
---@param a T
---@param b T
---@return T
function M.xor(a, b)
  if type(a) == "number" then
    local ah, bh = floor(a / 2 ^ 32), floor(b / 2 ^ 32)
    return bxor(ah, bh) * 2 ^ 32 + bxor(a - ah * 2 ^ 32, b - bh * 2 ^ 32) % 2 ^ 32
  end
  local result = ""
  for i = 1, #a, 8 do
    local x, y = a:sub(i, i + 7), b:sub(i, i + 7)
    result = result .. tohex(bxor(tonumber(x, 16), tonumber(y, 16)), #x)
  end
  return result
end

--- One hexadecimal digit of an identifier, as a number; the first is the most significant.
---
--- `dht.digit("a93e", 2)  --> 9`
---@param id string
---@param i integer from 1
---@return integer? # nil beyond the last digit
function M.digit(id, i) return tonumber(id:sub(i, i), 16) end

--- How many leading digits two identifiers have in common.
---
--- `dht.common_digits("a93e", "a97e")  --> 2`
---@param a string
---@param b string
---@return integer
function M.common_digits(a, b)
  for i = 1, #a do
    if a:byte(i) ~= b:byte(i) then return i - 1 end
  end
  return #a
end

--- How many leading bits two identifiers have in common.
---
--- `dht.common_bits("a93e", "a97e")  --> 9`
---@param a string
---@param b string
---@return integer
function M.common_bits(a, b)
  local n = M.common_digits(a, b)
  local x, y = M.digit(a, n + 1), M.digit(b, n + 1)
  n = n * 4
  if not x or not y then return n end
  local differ = bxor(x, y)
  return n + (differ >= 8 and 0 or differ >= 4 and 1 or differ >= 2 and 2 or 3)
end

--- A new array of the nodes (tables with an `id`) closest to an identifier, closest first.
---
--- ```lua
--- dht.closest({ { id = 1 }, { id = 9 }, { id = 6 } }, 7, 2, dht.xor)
---   --> { { id = 6 }, { id = 1 } }
--- ```
---@generic T: { id: splay.dht.id }
---@param nodes T[]
---@param id splay.dht.id
---@param count integer? at most so many, default all
---@param metric nil|fun(a: splay.dht.id, b: splay.dht.id): splay.dht.id default `dht.xor`
---@return T[]
function M.closest(nodes, id, count, metric)
  metric = metric or M.xor
  local far, sorted = {}, {}
  for i = 1, #nodes do
    local node = nodes[i]
    sorted[i], far[node] = node, metric(node.id, id)
  end
  table.sort(sorted, function(a, b) return far[a] < far[b] end)
  for i = #sorted, (count or #sorted) + 1, -1 do sorted[i] = nil end
  return sorted
end

return M
