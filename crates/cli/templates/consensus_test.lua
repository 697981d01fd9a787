-- Run: splay test consensus_test.lua     (in virtual time, on a simulated network)
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local rpc = require "splay.rpc"
local app = require "consensus"

local me = { ip = "127.0.0.1", port = 20001 }
local gone = { ip = "127.0.0.1", port = 20002 }

test.before_each(function()
  job = { me = me, position = 1, nodes = { me } }
  app.promised, app.accepted, app.decided = 0, nil, nil
  assert(rpc.server(me))
end)
test.after_each(function() rpc.stop_server(me) end)

describe("an acceptor", function()
  it("promises each number once, and no lower one after it", function()
    expect(prepare(5)).is_true()
    expect(prepare(5)).is_false()
    expect(prepare(4)).is_false()
    expect(select(2, prepare(4))).equal(5)
  end)

  it("accepts nothing below its promise", function()
    prepare(5)
    expect(accept(4, "old")).is_false()
    expect(app.accepted).is_nil()
    expect(accept(5, "new")).is_true()
    expect(select(2, prepare(6))).same({ 5, "new" })
  end)
end)

describe("a proposer", function()
  it("has its value decided when there is no other", function()
    expect(app.decide("mine")).equal("mine")
    expect(app.accepted[2]).equal("mine")
  end)

  it("takes over a value that was accepted before", function()
    accept(1, "theirs")
    expect(app.propose(2, "mine")).equal("theirs")
  end)

  it("goes past the numbers of others", function()
    prepare(70)
    expect(app.decide("mine")).equal("mine")
    expect(app.promised).at_least(71)
  end)

  it("decides nothing without a majority", function()
    job.nodes = { me, gone, { ip = "127.0.0.1", port = 20003 } }
    expect(app.propose(4, "mine")).is_nil()
    expect(app.accepted).is_nil()
  end)
end)

test.run()
