-- Tests of splay.test itself: every expectation, both ways.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local function fails(body) expect(body).errors("expected") end

describe("expect", function()
  it("compares", function()
    expect(2).equal(2)
    expect({ 1, { a = 2 } }).same({ 1, { a = 2 } })
    expect({ 1 }).never.equal({ 1 })
    expect({ 1, 2 }).never.same({ 1 })
    fails(function() expect(1).equal(2) end)
    fails(function() expect({ 1 }).same({ 1, 2 }) end)
    fails(function() expect(1).never.equal(1) end)
  end)

  it("knows nil, true and false", function()
    expect(nil).is_nil()
    expect(true).is_true()
    expect(false).is_false()
    expect(0).truthy()
    expect(nil).falsy()
    expect(false).never.is_nil()
    fails(function() expect(1).is_true() end)
    fails(function() expect(nil).is_false() end)
    fails(function() expect(false).is_nil() end)
  end)

  it("measures", function()
    expect(0.1 + 0.2).near(0.3, 1e-9)
    expect(3).at_least(3)
    expect(3).at_most(3)
    fails(function() expect(3).at_least(4) end)
    fails(function() expect(3).at_most(2) end)
    fails(function() expect(1).near(2, 0.5) end)
    fails(function() expect("3").at_least(1) end)
  end)

  it("searches", function()
    expect("hello").matches("^h.*o$")
    expect("a.b").contains(".b")
    expect({ 1, { 2 } }).contains({ 2 })
    expect("x").is_a("string")
    fails(function() expect("hello").matches("z") end)
    fails(function() expect({ 1 }).contains(2) end)
    expect("hello").matches("^h").never.equal("x").contains("ell")
    fails(function() expect("hello").never.equal("x").equal("y") end)
  end)

  it("catches errors", function()
    expect(function() error("bad thing") end).errors("bad thing")
    expect(function() end).never.errors()
    fails(function() expect(function() end).errors() end)
    expect(function() expect(1).no_such_matcher() end).errors("no such expectation")
  end)

  it("names file and line", function()
    local where = "test_test.lua:%d+: "
    expect(function() expect(1).equal(2) end).errors(where .. "expected equal to 2, got 1")
    expect(function() expect("a\nb").is_nil() end).errors('expected nil, got "a\\nb"')
    expect(function() expect({ 1, a = 2 }).is_nil() end).errors("got {1, a = 2}")
  end)
end)

test.run()
