-- Run: splay test gossip_test.lua     (in virtual time, on a simulated network)
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local rpc = require "splay.urpc"
local app = require "gossip"

local nodes = {}
for i = 1, 5 do nodes[i] = { ip = "127.0.0.1", port = 20000 + i } end
job = { me = nodes[1], position = 1, nodes = nodes }

describe("a rumor", function()
  test.before_each(function() app.rumor, app.round, app.teller = nil, nil, nil end)

  it("is news once", function()
    expect(hear("first", 3)).is_true()
    expect(hear("second", 1)).is_false()
    expect(app.rumor).equal("first")
    expect(app.round).equal(3)
  end)

  it("is told to as many different nodes as the fanout says", function()
    local told = {}
    local original = rpc.acall
    rpc.acall = function(node, call) told[node.port] = call end
    hear("news", 0)
    app.push()
    events.sleep(1)
    rpc.acall = original
    expect(misc.size(told)).equal(app.fanout)
    for _, call in pairs(told) do expect(call).same({ "hear", "news", 1, job.me }) end
  end)

  it("wakes a node that waits for it", function()
    assert(rpc.server(nodes[1]))
    events.thread(function() rpc.acall(nodes[1], { "hear", "over the network", 7 }) end)
    expect(events.wait("heard", 5)).is_true()
    expect(app.round).equal(7)
    rpc.stop_server(nodes[1])
  end)
end)

test.run()
