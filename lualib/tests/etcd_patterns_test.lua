-- Tests of splay.etcd.patterns on the store within the program, or on another server: its URL is
-- the environment's ETCD.
require "splay.base"
local etcd = require "splay.etcd"
local patterns = require "splay.etcd.patterns"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

test.timeout = 60

local address = (os.getenv or function() end)("ETCD")
local server
if not address then
  server = assert(etcd.serve(0))
  address = "http://127.0.0.1:" .. server.port
end

local count = 0
-- A client, with a place of its own for each test.
local function client()
  count = count + 1
  local prefix = ("/patterns/%d-%d"):format(math.random(2 ^ 30), count)
  return assert(etcd.new { host = address, failover = false, prefix = prefix, timeout = 10 })
end

describe("a lock", function()
  it("is held by one at a time, in order", function()
    local cli = client()
    local inside, most, order, tokens = 0, 0, {}, {}
    for i = 1, 8 do
      events.thread(function()
        events.sleep(i * 0.1)
        local lock = patterns.lock(cli, "/lock")
        local token = assert(lock:acquire())
        tokens[#tokens + 1] = token
        inside = inside + 1
        most = math.max(most, inside)
        order[#order + 1] = i
        expect(lock:held()).is_true()
        events.sleep(0.15)
        inside = inside - 1
        expect(lock:release()).is_true()
        expect(lock:held()).is_false()
      end)
    end
    while #order < 8 or inside > 0 do events.sleep(0.1) end
    expect(most).equal(1)
    expect(order).same { 1, 2, 3, 4, 5, 6, 7, 8 }
    for i = 2, 8 do expect(tokens[i] > tokens[i - 1]).is_true() end
  end)

  it("is not waited for longer than wanted", function()
    local cli = client()
    local first, second = patterns.lock(cli, "/lock"), patterns.lock(cli, "/lock")
    expect(first:acquire()).truthy()
    expect({ second:acquire(1) }).same { nil, "timeout" }
    expect(first:release()).is_true()
    expect(second:acquire(5)).truthy()
    second:release()
  end)

  it("goes on when its holder is heard from no more", function()
    local cli = client()
    local lost = false
    local first = patterns.lock(cli, "/lock", { ttl = 2, lost = function() lost = true end })
    local second = patterns.lock(cli, "/lock", { ttl = 2 })
    local token = assert(first:acquire())
    events.sleep(4) -- it lives on
    expect(first:held()).is_true()
    events.kill(first.line.keeper)
    local later = assert(second:acquire(20))
    expect(later > token).is_true()
    expect(first:held()).is_false()
    expect(second:held()).is_true()
    second:release()
    expect(lost).is_false() -- nobody was left to say so
  end)

  it("is lost when the server forgets it", function()
    local cli = client()
    local lost = false
    local lock = patterns.lock(cli, "/lock", { ttl = 2, lost = function() lost = true end })
    assert(lock:acquire())
    cli:delete(lock.line.key)
    events.sleep(2)
    expect(lost).is_true()
    expect(lock:held()).is_false()
    expect(lock:release()).is_false()
  end)
end)

describe("an election", function()
  it("has one leader, whom all can see", function()
    local cli = client()
    local candidates = {}
    for i = 1, 3 do candidates[i] = patterns.election(cli, "/leader", { value = i, ttl = 2 }) end
    local term = assert(candidates[1]:campaign())
    expect({ candidates[3]:leader() }).same { 1, term }
    local won
    events.thread(function() won = candidates[2]:campaign() end)
    events.sleep(0.5)
    expect(won).is_nil()
    expect(candidates[2]:leads()).is_false()
    local over = false
    events.thread(function()
      candidates[1]:wait_end()
      over = true
    end)
    expect(candidates[1]:resign()).is_true()
    events.sleep(0.5)
    expect(over).is_true()
    expect(won > term).is_true()
    expect(candidates[2]:leads()).is_true()
    expect((candidates[1]:leader())).equal(2)
    candidates[2]:resign()
    expect({ candidates[3]:leader() }).same {}
  end)
end)

describe("a barrier", function()
  it("opens when all have come", function()
    local cli = client()
    local through = 0
    for _ = 1, 5 do
      events.thread(function()
        assert(patterns.barrier(cli, "/start", 6))
        through = through + 1
      end)
    end
    events.sleep(0.5)
    expect(through).equal(0)
    expect(patterns.barrier(cli, "/start", 6)).is_true()
    events.sleep(0.5)
    expect(through).equal(5)
    expect(patterns.barrier(cli, "/start", 6, 1)).is_true()
  end)

  it("is not waited at longer than wanted", function()
    expect({ patterns.barrier(client(), "/start", 2, 1) }).same { nil, "timeout" }
  end)
end)

describe("a counter", function()
  it("loses nothing", function()
    local cli = client()
    local left = 10
    for _ = 1, 10 do
      events.thread(function()
        local counter = patterns.counter(cli, "/count")
        for _ = 1, 5 do assert(counter:add(2)) end
        left = left - 1
      end)
    end
    while left > 0 do events.sleep(0.1) end
    expect((patterns.counter(cli, "/count"):get())).equal(100)
    cli:set("/text", "x")
    expect({ patterns.counter(cli, "/text"):add() }).same { nil, "not a number" }
  end)
end)

describe("a registry", function()
  it("tells who comes and who goes", function()
    local cli = client()
    local came, gone = {}, {}
    local watcher = patterns.registry(cli, "/nodes", { ttl = 2 })
    local first = patterns.registry(cli, "/nodes", { ttl = 2 })
    expect(watcher:members()).same {}
    expect(first:join("a", { port = 1 })).is_true()
    local thread = watcher:watch(
      function(name, value) came[name] = value end,
      function(name, value) gone[name] = value end
    )
    local second = patterns.registry(cli, "/nodes", { ttl = 2 })
    expect(second:join("b")).is_true()
    events.sleep(1)
    expect(came).same { a = { port = 1 }, b = true }
    expect(watcher:members()).same(came)
    expect(first:leave()).is_true()
    events.sleep(0.5)
    expect(gone).same { a = { port = 1 } }
    events.sleep(3) -- it lives on
    expect(watcher:members()).same { b = true }
    events.kill(second.keeper) -- and falls silent
    events.sleep(4)
    expect(gone.b).is_true()
    events.kill(thread)
  end)

  it("comes back when the server has forgotten it", function()
    local cli = client()
    local registry = patterns.registry(cli, "/nodes", { ttl = 2 })
    registry:join("a", 1)
    cli:rmdir("/nodes", true)
    events.sleep(2)
    expect(registry:members()).same { a = 1 }
    registry:leave()
    events.sleep(2)
    expect(registry:members()).same {}
  end)
end)

test.run()
