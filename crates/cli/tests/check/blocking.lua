-- What stops everybody.
require "splay.base"
local clock, execute = misc.time, os.execute
local done = false

events.run(function()
  os.execute("sleep 5")
  execute("ls")
  local pipe = io.popen("ls")
  while true do print("busy", pipe) end
  local start = clock()
  while clock() < start + 5 do end
  repeat until done
  while not done do events.sleep(0.1) end
  while true do
    if math.random() < 0.5 then break end
  end
  local n = 10
  while n > 0 do n = n - 1 end
end)
