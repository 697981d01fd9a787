-- Tests of splay.check, as far as it can be tested without ending the run: what is violated is
-- told to the host, and so is tested from there.
local check = require "splay.check"
local events = require "splay.events"
local misc = require "splay.misc"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

describe("conditions", function()
  it("are asked after each turn", function()
    local asked = 0
    check.always("counted", function()
      asked = asked + 1
      return true
    end)
    for _ = 1, 5 do events.sleep(0.01) end
    expect(asked >= 5).is_true()
  end)

  it("that come true in time hold", function()
    local ready = false
    check.eventually("ready", function() return ready end, 5)
    events.sleep(0.01)
    ready = true
    events.sleep(0.02)
    expect(ready).is_true()
  end)

  it("refuse what is none", function()
    expect(pcall(check.always, "name")).is_false()
    expect(pcall(check.always, 1, misc.time)).is_false()
    expect(pcall(check.eventually, "name", misc.time)).is_false()
  end)
end)

describe("histories", function()
  it("take operations of their model", function()
    local h = check.history("a map", "map")
    h:invoke("put", "k", { 1, 2 }):ok()
    h:invoke("get", "k"):ok({ 1, 2 })
    h:invoke("put", "k", "lost"):info()
    h:invoke("delete", "other"):fail()
    expect(check.history("a map", "map") == h).is_true()
  end)

  it("refuse others", function()
    local ok, reason = pcall(check.history, "x", "stack")
    expect(ok).is_false()
    expect(reason:find("no model is called `stack`: register, map", 1, true) ~= nil).is_true()
    local h = check.history("a register", "register")
    ok, reason = pcall(h.invoke, h, "push", 1)
    expect(ok).is_false()
    local told = "a register has no operation `push` of 1 arguments"
    expect(reason:find(told, 1, true) ~= nil).is_true()
  end)

  it("end an operation once", function()
    local op = check.history("b", "register"):invoke("read")
    op:ok(nil)
    local ok, reason = pcall(op.ok, op, nil)
    expect(ok).is_false()
    expect(reason:find("this operation has ended already", 1, true) ~= nil).is_true()
  end)
end)

describe("places", function()
  it("are marked once", function()
    local here = check.reachable("here")
    expect(here()).is_nil()
    expect(here()).is_nil()
  end)
end)

test.run()
