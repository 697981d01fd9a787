-- A thread that never waits, and one that would like to go on.
require "splay.base"

events.run(function()
  events.thread(function()
    events.sleep(0.1)
    while true do end -- splay: allow(busy-loop)
  end)
  for i = 1, 3 do
    events.sleep(0.1)
    print("still here", i)
  end
end)
