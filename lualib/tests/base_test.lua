-- Tests of splay.base, splay.coxpcall and the globals of Lua 5.1.
local result = require "splay.base"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

describe("base", function()
  it("returns true and sets globals", function()
    expect(result).is_true()
    expect(events == require "splay.events").is_true()
    expect(log == require "splay.log").is_true()
    expect(misc == require "splay.misc").is_true()
    expect(socket == require "splay.socket").is_true()
    expect(coxpcall == require "splay.coxpcall").is_true()
  end)

  it("sets the splay namespace", function()
    expect(splay.misc == misc).is_true()
    expect(splay.events == events).is_true()
    expect(splay.queue == require "splay.queue").is_true()
    expect(splay.no_such_library).is_nil() -- splay: allow(unknown-member)
  end)

  it("adds no other global", function()
    for _, name in ipairs { "wrap_tcp", "set", "get", "dns_servers", "response", "d", "r", "j" } do
      expect(rawget(_G, name)).is_nil()
    end
  end)
end)

describe("protected calls", function()
  it("may wait", function()
    local ok, a, b = pcall(function()
      events.sleep(0.01)
      return 1, events.wait("never", 0.01)
    end)
    expect(ok).is_true()
    expect(a).equal(1)
    expect(b).is_false()
    ok, a = pcall(function()
      events.yield()
      error({ code = 7 })
    end)
    expect(ok).is_false()
    expect(a.code).equal(7)
  end)

  it("xpcall passes arguments and calls the handler", function()
    local ok, v = xpcall(function(x) return x end, print, 5)
    expect(ok).is_true()
    expect(v).equal(5)
    ok, v = xpcall(function()
      events.yield()
      error("oops", 0)
    end, function(e) return "handled " .. e end)
    expect(ok).is_false()
    expect(v).equal("handled oops")
  end)

  it("coxpcall has the functions of Lua 5.1 programs", function()
    expect(coxpcall.pcall(error, "no", 0)).is_false()
    local ok, v = coxpcall.xpcall(error, function(e) return "!" .. e end, "no")
    expect(ok).is_false()
    expect(v).equal("!no")
    local co = coroutine.create(function(a)
      local b = a + events_sleep_and(1)
      return b
    end)
    function events_sleep_and(n)
      events.sleep(0.01)
      return n
    end
    ok, v = coxpcall.performResume(print, co, 2)
    expect(ok).is_true()
    expect(v).equal(3)
    ok, v = coxpcall.performResume(function(text, raw) return raw .. "|" .. text end,
      coroutine.create(function() error("bad", 0) end))
    expect(ok).is_false()
    expect(v).matches("^bad|bad\nstack traceback:")
    events_sleep_and = nil
  end)

  it("runs in the caller's thread", function()
    local inside
    pcall(function() inside = tostring(coroutine.running()) end)
    expect(inside).equal(tostring(coroutine.running()))
    expect(events.dead(inside)).is_false()
  end)
end)

describe("Lua 5.1", function()
  it("has the functions later versions dropped", function()
    expect(math.mod(7, 4)).equal(3)
    expect(math.pow(2, 10)).equal(1024)
    local words = {}
    for w in string.gfind("a b", "%a") do words[#words + 1] = w end
    expect(words).same({ "a", "b" })
    expect(table.getn({ 1, 2 })).equal(2)
    expect(table.maxn({ 1, [5] = 1 })).equal(5)
    expect(function() table.setn({}, 1) end).errors("obsolete")
    local sum = 0
    table.foreach({ 1, 2 }, function(_, v) sum = sum + v end)
    table.foreachi({ 1, 2 }, function(_, v) sum = sum + v end)
    expect(sum).equal(6)
    expect((gcinfo())).at_least(1)
    expect(unpack({ 1 })).equal(1)
    expect(loadstring("return 5")()).equal(5)
    expect(getfenv(setfenv(function() end, { x = 1 })).x).equal(1)
  end)

  it("prints integral numbers without a fraction", function()
    expect(tostring(2 ^ 16)).equal("65536")
    expect(tostring(10 / 2)).equal("5")
    expect(math.random(0, 1.5)).at_least(0)
  end)
end)

test.run()
