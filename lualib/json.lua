--- JSON in the manner of JSON4Lua. New programs want `cjson`.
---
--- Since: 0.1

local type, pairs, tostring = type, pairs, tostring

local M = {
  --- Tells programs that this library is the one of the original SPLAY: always true.
  leo = true,
}

-- Deepest nesting; more is taken for a cycle.
local MAX_DEPTH = 200

--- Stands for null in what is encoded. (Null is decoded to nil.)
---
--- `json.encode({ 1, json.null })  --> "[1,null]"`
---@return nil
function M.null()
  return nil
end

-- The highest index if all keys are positive whole numbers.
local function array_length(t)
  local highest, count = 0, 0
  for key in pairs(t) do
    if type(key) ~= "number" or key < 1 or key % 1 ~= 0 then return nil end
    if key > highest then highest = key end
    count = count + 1
  end
  -- A few large keys are no array.
  if highest > 2 * count + 64 then return nil end
  return highest
end

local function encodable(value)
  local kind = type(value)
  return kind == "string" or kind == "boolean" or kind == "number" or kind == "nil"
    or kind == "table" or value == M.null
end

local function encode(value, depth)
  local kind = type(value)
  if kind == "nil" or value == M.null then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind == "string" or kind == "number" then return require("cjson").encode(value) end
  if kind ~= "table" then
    error("encode attempt to encode unsupported type " .. kind .. ":" .. tostring(value), 0)
  end
  if depth > MAX_DEPTH then error("encode attempt to encode too deeply nested tables", 0) end
  local parts = {}
  local length = array_length(value)
  if length then
    for i = 1, length do
      parts[i] = encodable(value[i]) and encode(value[i], depth + 1) or "null"
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, item in pairs(value) do
    if encodable(key) and encodable(item) then
      parts[#parts + 1] = encode(tostring(key), depth + 1) .. ":" .. encode(item, depth + 1)
    end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- Encodes a value. A table with positive whole keys (`{}` too) is an array, holes are null; of
--- any other table, functions and the like are left out.
---
--- `json.encode({ a = { 1, "two" } })  --> '{"a":[1,"two"]}'`
---
--- Errors: raises for what JSON cannot say and for tables nested deeper than 200.
---@param value any
---@return string text
function M.encode(value)
  return encode(value, 1)
end

--- Decodes the value at a position of a text. Raises an error if there is none.
---
--- `json.decode("[1,null,3]")  --> { 1, nil, 3 }, 11`
---
--- Errors: raises if there is no value at the position.
---@param text string
---@param start? integer default 1
---@return any value
---@return integer next position behind the value
function M.decode(text, start)
  return require("splay.cjson_core").decode_at(text, start or 1)
end

return M
