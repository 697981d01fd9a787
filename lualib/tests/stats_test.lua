-- Tests of splay.stats.
local stats = require "splay.stats"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

describe("running", function()
  it("has mean, variance, bounds", function()
    local s = stats.running { 2, 4, 4, 4, 5, 5, 7, 9 }
    expect(s.n).equal(8)
    expect(s.mean).near(5)
    expect(s:variance()).near(32 / 7)
    expect(s:deviation()).near(math.sqrt(32 / 7))
    expect(s.min).equal(2)
    expect(s.max).equal(9)
    expect(s:text()).equal("8 values, mean 5, deviation 2.138, 2 to 9")
  end)

  it("stays exact far from zero", function()
    local s = stats.running()
    for i = 0, 9999 do s:add(1e9 + i % 10) end
    expect(s.mean).near(1e9 + 4.5, 1e-4)
    expect(s:variance()).near(8.25 * 10000 / 9999, 1e-4)
  end)

  it("starts with nothing", function()
    local s = stats.running()
    expect(s.mean).equal(0)
    expect(s:variance()).equal(0)
    expect(s:text()).equal("no value")
    s:add(3)
    expect(s:variance()).equal(0)
    expect(s.min).equal(3)
  end)

  it("merges what came as plain tables", function()
    local all, parts = stats.running(), { stats.running(), stats.running(), stats.running() }
    for i = 1, 300 do
      local x = (i * 7919) % 101 / 10
      all:add(x)
      parts[1 + i % 2]:add(x)
    end
    local total = stats.running()
    for _, part in ipairs(parts) do
      local plain = {}
      for k, v in pairs(part) do plain[k] = v end
      total:merge(plain)
    end
    expect(total.n).equal(300)
    expect(total.mean).near(all.mean)
    expect(total:variance()).near(all:variance(), 1e-6)
    expect(total.min).equal(all.min)
    expect(total.max).equal(all.max)
  end)
end)

describe("percentiles", function()
  it("lie between neighbours", function()
    local list = { 4, 1, 3, 2 }
    expect({ stats.percentile(list, 0, 25, 50, 100) }).same({ 1, 1.75, 2.5, 4 })
    expect(list).same({ 4, 1, 3, 2 })
    expect(stats.percentile({ 7 }, 99)).equal(7)
    expect(stats.median({ 9, 1, 2 })).equal(2)
  end)

  it("of nothing are nil, and p has bounds", function()
    expect(stats.median({})).is_nil()
    expect(select("#", stats.percentile({}, 10, 20))).equal(2)
    expect(function() stats.percentile({ 1 }, 101) end).errors("between 0 and 100: 101")
    expect(function() stats.percentile({ 1 }, -1) end).errors("between")
  end)

  it("are summed up in a line", function()
    local list = {}
    for i = 1, 101 do list[i] = i end
    expect(stats.summary(list)).equal("101 values, mean 51, deviation 29.3; min 1, 50 % 51, "
      .. "90 % 91, 99 % 100, max 101")
    expect(stats.summary({})).equal("no value")
  end)
end)

describe("histogram", function()
  it("counts by interval, bounds included", function()
    local h = stats.histogram(0, 10, 5, { 0, 1.9, 2, 9.9, 10, -1, 11, 12 })
    expect(h.counts).same({ 2, 1, 0, 0, 2 })
    expect(h.n).equal(8)
    expect(h.below).equal(1)
    expect(h.above).equal(2)
  end)

  it("shows itself", function()
    expect(stats.histogram(0, 4, 2, { 1, 3, 3 }):text(10)).equal("0  1 #####\n2  2 ##########")
    expect(stats.histogram(0, 1, 2, { 0.7, 2, -1 }):text(3))
      .equal("1 below\n  0  0\n0.5  1 ###\n1 above")
    expect(stats.histogram(-1, 1, 4):text()).equal("  -1  0\n-0.5  0\n   0  0\n 0.5  0")
  end)

  it("refuses what is no interval", function()
    expect(function() stats.histogram(1, 1) end).errors("intervals")
    expect(function() stats.histogram(0, 1, 0) end).errors("intervals")
    expect(#stats.histogram(0, 1).counts).equal(10)
  end)
end)

test.run()
