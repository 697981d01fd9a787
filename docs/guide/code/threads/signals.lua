-- Events: a thread waits for a name, another fires it.
require "splay.base"

events.run(function()
  events.thread(function()
    local what, when = events.wait("order")
    print("the first waiter got", what, when)
  end)
  events.thread(function() print("the second waiter got", events.wait("order")) end)
  events.sleep(0.1)

  print("fired", events.fire("order", "tea", 5))
  print("again", events.fire("order", "coffee", 6)) -- the first is not delivered yet
  events.sleep(0.1)

  -- Nobody waits any more: what is fired now is gone after this thread's next pause.
  events.fire("order", "cake")
  events.sleep(0.1)
  print("too late", events.wait("order", 0.1))
end)
