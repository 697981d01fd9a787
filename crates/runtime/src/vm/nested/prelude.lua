-- What Lua 5.3 has and LuaJIT lacks, as far as it can be had.
table.unpack = unpack

function table.pack(...) return { n = select("#", ...), ... } end

function math.type(x)
  if type(x) ~= "number" then return nil end
  return x == math.floor(x) and x - x == 0 and "integer" or "float"
end

function math.tointeger(x)
  return math.type(x) == "integer" and x or nil
end

math.maxinteger, math.mininteger = 2 ^ 53, -2 ^ 53
