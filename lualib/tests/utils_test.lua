-- Tests of splay.utils.
local utils = require "splay.utils"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

--- What `f` prints, as lines.
local function printed(f)
  local lines, real = {}, print
  print = function(...) lines[#lines + 1] = table.concat({ ... }, "\t") end
  local ok, reason = pcall(f)
  print = real
  if not ok then error(reason, 0) end
  return lines
end

describe("generate_job", function()
  it("makes a head list, indexable and callable", function()
    local job = utils.generate_job(3, 10, 20001)
    expect(job.position).equal(3)
    expect(job.list_type).equal("head")
    expect(job.me).same({ ip = "127.0.0.1", port = 20003 })
    expect(#job.nodes).equal(10)
    expect(job.nodes[3]).same(job.me)
    expect(job.nodes()[10]).same({ ip = "127.0.0.1", port = 20010 })
    expect(#job.get_live_nodes()).equal(10)
    local n = 0
    for _, node in pairs(job.nodes) do n = n + (node.ip == "127.0.0.1" and 1 or 0) end
    expect(n).equal(10)
  end)

  it("has the manual's defaults", function()
    local job = utils.generate_job(1)
    expect(#job.nodes).equal(50)
    expect(job.me.port).equal(20000)
  end)

  it("cuts a head list", function()
    local job = utils.generate_job(9, 10, 20000, 4)
    expect(#job.nodes).equal(4)
    expect(job.nodes[1].port).equal(20000)
    expect(job.me.port).equal(20008)
  end)

  it("never lists a node itself in a random list", function()
    for position = 1, 5 do
      local job = utils.generate_job(position, 5, 20000, 5, true)
      expect(job.list_type).equal("random")
      expect(#job.nodes).equal(4)
      local seen = {}
      for _, node in ipairs(job.nodes()) do
        expect(node.port).never.equal(job.me.port)
        expect(seen[node.port]).is_nil()
        seen[node.port] = true
      end
    end
    expect(#utils.generate_job(1, 20, 20000, 6, true).nodes).equal(6)
  end)

  it("accepts numbers as text, refuses no position", function()
    expect(utils.generate_job("2", "3", "100").me.port).equal(101)
    expect(function() utils.generate_job() end).errors("position")
  end)
end)

describe("utils", function()
  it("args reads name=value", function()
    expect(utils.args({ "a=b", "--port=20000", "x", "e=", "f=1=2" }))
      .same({ a = "b", port = "20000", e = "", f = "1=2" })
  end)

  it("size counts", function()
    expect(utils.size({ 1, 2, a = 3 })).equal(3)
    expect(utils.size({})).equal(0)
  end)

  it("print_r shows nested tables and cycles", function()
    local t = { 1, a = { "x" } }
    t.b = t
    expect(printed(function() utils.print_r(t) end)).same({
      "[1] 1", "[a] table:", "  [1] x", "[b] table: (contains this one)",
    })
    expect(printed(function() utils.pr("plain") end)).same({ "plain" })
  end)

  it("mem measures", function()
    expect(utils.mem(true)).at_least(1)
    expect(printed(utils.mem)[1]).matches("^%d+%.%d KB$")
  end)
end)

test.run()
