-- Something to be done again and again, until it is enough.
require "splay.base"

events.run(function()
  local count = 0
  local ticker = events.periodic(0.1, function()
    count = count + 1
    print("round", count)
    if count == 3 then events.fire("enough") end
  end)
  events.wait("enough")
  print("killed", events.kill(ticker))
  print("dead", events.dead(ticker))
end)
