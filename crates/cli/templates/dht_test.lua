-- Run: splay test dht_test.lua     (in virtual time, on a simulated network)
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local rpc = require "splay.rpc"
local app = require "dht"

local nodes = {}
for i = 1, 5 do nodes[i] = { ip = "127.0.0.1", port = 20000 + i } end
job = { me = nodes[1], position = 1, nodes = nodes }

describe("owners", function()
  it("are as many different nodes as there are replicas", function()
    for i = 1, 50 do
      local owners = app.owners("key " .. i)
      expect(#owners).equal(app.replicas)
      expect(owners[1].port).never.equal(owners[2].port)
    end
  end)

  it("are the same whatever the order of the list", function()
    local before = app.owners("key")
    job.nodes = { nodes[4], nodes[2], nodes[5], nodes[1], nodes[3] }
    expect(app.owners("key")).same(before)
    job.nodes = nodes
  end)

  it("change for few keys when a node leaves", function()
    local before, moved = {}, 0
    for i = 1, 100 do before[i] = app.owners("key " .. i)[1] end
    local gone = before[1]
    job.nodes = {}
    for _, node in ipairs(nodes) do
      if node ~= gone then job.nodes[#job.nodes + 1] = node end
    end
    for i = 1, 100 do
      local now = app.owners("key " .. i)[1]
      if now ~= before[i] then
        moved = moved + 1
        expect(before[i]).equal(gone)
      end
    end
    job.nodes = nodes
    expect(moved).at_least(1)
  end)
end)

describe("a value", function()
  it("is found again, also when its first owner is gone", function()
    for _, node in ipairs(nodes) do assert(rpc.server(node)) end
    expect(app.put("color", "blue")).equal(app.replicas)
    expect(app.get("color")).equal("blue")
    rpc.stop_server(app.owners("color")[1])
    expect(app.get("color")).equal("blue")
    expect(app.get("shape")).is_nil()
  end)
end)

test.run()
