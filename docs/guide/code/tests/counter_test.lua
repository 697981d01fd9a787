local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local rpc = require "splay.rpc"
local counter = require "counter"

describe("add", function()
  it("counts", function()
    counter.count = 5
    expect(add(2)).equal(7)
  end)

  it("wants a number", function()
    expect(function() add("two") end).errors("a number is wanted")
  end)
end)

describe("add_at", function()
  local node = { ip = "127.0.0.1", port = 20000 }

  it("counts at another node", function()
    assert(rpc.server(node))
    counter.count = 0
    expect(counter.add_at(node, 3)).equal(3)
    rpc.stop_server(node)
  end)

  it("gives up after two seconds", function()
    local started = misc.time()
    local count, reason = counter.add_at({ ip = "127.0.0.1", port = 20001 }, 3)
    expect(count).is_nil()
    expect(reason).equal("connection refused")
    expect(misc.time() - started).at_most(2)
  end)
end)

test.run()
