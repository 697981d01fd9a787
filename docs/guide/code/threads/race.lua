-- A balance that is read, and written after a pause: two threads undo each other's work.
require "splay.base"

local balance = 0

local function deposit(amount)
  local before = balance
  events.sleep(0.01) -- a remote call would wait as well
  balance = before + amount
end

local function ten_deposits(deposit_one)
  balance = 0
  local left = 10
  for _ = 1, left do
    events.thread(function()
      deposit_one(1)
      left = left - 1
      if left == 0 then events.fire("done") end
    end)
  end
  events.wait("done")
  return balance
end

events.run(function()
  print("without a lock", ten_deposits(deposit))

  local lock = events.lock()
  print("with a lock", ten_deposits(function(amount)
    lock:lock()
    deposit(amount)
    lock:unlock()
  end))
end)
