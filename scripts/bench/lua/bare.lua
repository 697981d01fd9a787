-- An instance that only exists.
require "splay.base"

events.run(function()
  print("BENCH up 1 instance")
  events.sleep(3600)
end)
