require "splay.base"
local objstore, rpc = require "splay.objstore", require "splay.rpc"

local counter = [[
  function add(input, output)
    local ok, old = pcall(cls.map_get_val, "count")
    local new = bufferlist.new()
    new:append(tostring((ok and tonumber(old:str()) or 0) + 1))
    cls.map_set_val("count", new)
    output:append(new:str())
  end
  cls.register(add)
]]

local first = job.nodes[1]

-- Reads and writes by two calls: another node may come between.
local function slowly(store)
  local count = tonumber((store:map_get_val("slow", "count"))) or 0
  store:map_set_val("slow", "count", tostring(count + 1))
end

events.run(function()
  if job.position == 1 then
    objstore.serve(objstore.open { classes = { counter = counter } })
  end
  rpc.server(job.me.port)
  events.sleep(1)
  local store = objstore.connect(first)
  for _ = 1, 20 do
    store:exec("fast", "counter", "add")
    slowly(store)
  end
  events.sleep(2)
  if job.position == 1 then
    local slow = tonumber((store:map_get_val("slow", "count")))
    print("with a handler: " .. store:map_get_val("fast", "count"))
    print("with two calls: " .. (slow < 100 and "some are lost" or slow))
  end
  events.exit()
end)
