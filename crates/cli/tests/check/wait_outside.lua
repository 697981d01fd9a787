-- Waits where there is no thread.
require "splay.base"
local sleep = events.sleep

local function rest() sleep(1) end

sleep(1)
if arg[1] then events.wait("never", 1) end
print(pcall(events.sleep, 1))
events.run(function()
  events.yield()
  rest()
end)
