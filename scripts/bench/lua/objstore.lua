-- Handlers of object classes on an object in memory, one after the other, compiled once:
-- `splay lua scripts/bench/lua/objstore.lua`. Times are CPU of the process.
local objstore = require "splay.objstore"
local store, rounds = objstore.open(), tonumber(arg[1]) or 50000

local function measure(name, script, handler)
  store:exec("o", script, handler)
  local begin = os.clock()
  for _ = 1, rounds do assert(store:exec("o", script, handler) == 0) end
  print(("%s: %.0f a second"):format(name, rounds / (os.clock() - begin)))
end

measure("no-op", "function f() end cls.register(f)", "f")
measure("counter", [[
  function add()
    local ok, old = pcall(cls.map_get_val, "count")
    local new = bufferlist.new()
    new:append(tostring((ok and tonumber(old:str()) or 0) + 1))
    cls.map_set_val("count", new)
  end
  cls.register(add)
]], "add")
assert(store:map_get_val("o", "count") == tostring(rounds + 1))
