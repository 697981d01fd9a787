-- Two threads that take turns: whoever sleeps lets the other go on.
require "splay.base"

local function tick(name, period)
  for i = 1, 3 do
    events.sleep(period)
    print(name, i)
  end
end

events.run(function()
  events.thread(function() tick("slow", 0.25) end)
  events.thread(function() tick("fast", 0.1) end)
  print("both are there, none has run")
end)
print("no thread is left")
