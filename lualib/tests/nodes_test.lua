-- Tests of splay.nodes.
local nodes = require "splay.nodes"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local function node(port, ip) return { ip = ip or "10.0.0.1", port = port } end

describe("nodes", function()
  it("are known by address and port", function()
    expect(nodes.name(node(80))).equal("10.0.0.1:80")
    expect(nodes.same(node(80), { ip = "10.0.0.1", port = 80, age = 3 })).is_true()
    expect(nodes.same(node(80), node(81))).is_false()
    expect(nodes.same(node(80), node(80, "10.0.0.2"))).is_false()
  end)

  it("are found and removed", function()
    local list = { node(1), node(2), node(3) }
    list[2].age = 7
    expect(nodes.find(list, node(2))).equal(2)
    expect(nodes.find(list, node(4))).is_nil()
    expect(nodes.remove(list, node(2)).age).equal(7)
    expect(nodes.remove(list, node(2))).is_nil()
    expect(list).same({ node(1), node(3) })
  end)

  it("are left out", function()
    local list = { node(1), node(2), node(3) }
    expect(nodes.without(list, node(1), node(3), node(9))).same({ node(2) })
    expect(nodes.without(list)).same(list)
    expect(#list).equal(3)
  end)
end)

test.run()
