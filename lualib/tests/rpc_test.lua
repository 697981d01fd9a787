-- The three kinds of remote call: what they have in common, and what only one does.

require "splay.base"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local base_port = (job and job.me.port or 21000)

var = 5
var2 = { 1, 2 }
var3 = { key = "value", func = function(a) return "func_call " .. tostring(a) end }
strict = setmetatable({}, { __index = function(_, k) return k .. "!" end })
function concat(a, b) return a .. b end
function several() return 1, nil, "three", nil end
function count(...) return select("#", ...) end
function fail() error("on purpose", 0) end
function fail_at() error("with position") end
function slow(t) events.sleep(t) return "slept" end
function nil_and_error() return nil, "err" end
function echo(...) return ... end
local runs = 0
function once(t) runs = runs + 1 events.sleep(t) return runs end

for n, mode in ipairs { "rpc", "urpc", "rpcq" } do
  describe(mode, function()
    local rpc = require("splay." .. mode)
    local port = base_port + 10 + n
    local me = { ip = "127.0.0.1", port = port }

    it("serves", function()
      expect(rpc.server(port)).truthy()
      expect(rpc.mode).equal(mode)
    end)

    it("calls functions and reads variables", function()
      expect(rpc.call(me, "var")).equal(5)
      expect(rpc.call(me, "var2[2]")).equal(2)
      expect(rpc.call(me, "var3['key']")).equal("value")
      expect(rpc.call(me, "var3.key")).equal("value")
      expect(rpc.call(me, "strict.x")).equal("x!")
      expect(rpc.call(me, "var3.func")).equal("func_call nil")
      expect(rpc.call(me, { "var3.func", "hello" })).equal("func_call hello")
      expect(rpc.call(me, { "concat", "one", "two" })).equal("onetwo")
      expect(rpc.call(me, "var2")).same({ 1, 2 })
      expect(select("#", rpc.call(me, "no_var"))).equal(0)
      local ok, results = rpc.acall(me, "no_var")
      expect(ok).is_true()
      expect(results).same({})
    end)

    it("takes ip and port, ports as strings, and names", function()
      expect(rpc.call("127.0.0.1", port, { "concat", "a", "b" })).equal("ab")
      expect(rpc.call("127.0.0.1", tostring(port), { "concat", "a", "b" }, 5)).equal("ab")
      expect(rpc.call({ ip = "localhost", port = port }, { "concat", "a", "b" })).equal("ab")
      expect(rpc.a_call(me, "var")).is_true()
    end)

    it("keeps several results and nils", function()
      expect(select("#", rpc.call(me, "several"))).equal(4)
      local a, b, c, d = rpc.call(me, "several")
      expect({ a, tostring(b), c, tostring(d) }).same({ 1, "nil", "three", "nil" })
      local ok, results = rpc.acall(me, "several")
      expect(ok).is_true()
      expect(results[1]).equal(1)
      expect(results[2]).is_nil()
      expect(results[3]).equal("three")
      expect(rpc.call(me, { "count", 1, nil, 3 })).equal(3)
      local none, err = rpc.call(me, "nil_and_error")
      expect(none).is_nil()
      expect(err).equal("err")
    end)

    it("carries any data", function()
      local data = { 1, 2.5, -3, "bytes\0\255\n", true, false, { a = { b = { "c" } } }, [20] = "x" }
      expect(rpc.call(me, { "echo", data })).same(data)
      expect(rpc.call(me, { "echo", 2 ^ 53, -2 ^ 53, 1e15 })).equal(2 ^ 53)
    end)

    it("brings a remote error back with its text", function()
      local t = misc.time()
      local ok, err = rpc.acall(me, "fail", 10)
      expect(ok).is_false()
      expect(err).equal("on purpose")
      ok, err = rpc.acall(me, "fail_at", 10)
      expect(err).matches("rpc_test.lua:%d+: with position")
      ok, err = rpc.acall(me, { "var", 1 }, 10)
      expect(ok).is_false()
      expect(err).matches("^calling a variable with parameters")
      ok, err = rpc.acall(me, { "echo", "x" }, 10)
      expect(ok).is_true()
      expect(misc.time() - t).at_most(5)
    end)

    it("takes names as paths, not as code", function()
      for _, bad in ipairs { "1+2", "os.exit()", "(function() end)()", "io.open", "loadstring" } do
        local ok, err = rpc.acall(me, bad, 5)
        expect(ok).is_false()
        expect(err).matches("^not a").never.equal(nil)
      end
    end)

    it("raises errors from ecall and proxies", function()
      expect(rpc.ecall(me, { "concat", "x", "y" })).equal("xy")
      expect(function() rpc.ecall(me, "fail") end).errors("rpc_test.lua:%d+: on purpose")
      local p = rpc.proxy(me)
      expect(p:concat("one", "two")).equal("onetwo")
      expect(p.ip).equal("127.0.0.1")
      expect(p.port).equal(port)
      expect(p:ping()).is_a("number")
      p.timeout = 0.05
      expect(function() p:slow(1) end).errors("timeout")
    end)

    it("times out", function()
      local t = misc.time()
      local ok, err = rpc.acall(me, { "slow", 1 }, 0.1)
      expect(ok).is_false()
      expect(err).equal("timeout")
      expect(misc.time() - t).near(0.1, 0.3)
      ok, err = rpc.acall(me, "var", 0)
      expect(ok).is_false()
      expect(err).equal("timeout")
    end)

    it("answers bad arguments", function()
      local ok, err = rpc.acall({ ip = "127.0.0.1" }, "var")
      expect(ok).is_false()
      expect(err).equal("parameter array without ip or port")
      ok, err = rpc.acall(me, "var", {})
      expect(ok).is_false()
      expect(err).matches("^invalid timeout value: ")
      local value, message = rpc.call({}, "var")
      expect(value).is_nil()
      expect(message).equal("parameter array without ip or port")
    end)

    it("pings", function()
      local rtt = rpc.ping(me)
      expect(rtt).is_a("number")
      expect(rtt).at_least(0)
      local none, err = rpc.ping({ ip = "127.0.0.1", port = port + 500 }, 0.1)
      expect(none).is_nil()
      expect(err).is_a("string")
    end)

    it("runs calls side by side", function()
      local done, t = 0, misc.time()
      for _ = 1, 20 do
        events.thread(function()
          expect(rpc.call(me, { "slow", 0.2 })).equal("slept")
          done = done + 1
        end)
      end
      while done < 20 do events.sleep(0.01) end
      expect(misc.time() - t).at_most(2)
    end)

    it("runs a slow call once", function()
      local before = runs
      expect(rpc.call(me, { "once", 0.7 }, 1.2)).equal(before + 1)
      events.sleep(0.3)
      expect(runs).equal(before + 1)
    end)

    it("limits the calls under way", function()
      rpc.settings.max = 1
      local order = {}
      for i = 1, 3 do
        events.thread(function()
          rpc.call(me, { "slow", 0.05 })
          order[#order + 1] = i
        end)
      end
      events.sleep(0.01)
      local ok, err = rpc.acall(me, "var", 0.02)
      expect(ok).is_false()
      expect(err).equal("local timeout")
      while #order < 3 do events.sleep(0.01) end
      rpc.settings.max = nil
      expect(order).same({ 1, 2, 3 })
    end)

    it("fails for unknown hosts and goes on", function()
      local ok, err = rpc.acall({ ip = "no-such-host.invalid", port = port }, "var", 20)
      expect(ok).is_false()
      expect(err).equal("host or service not provided, or not known")
      expect(rpc.call(me, "var")).equal(5)
    end)

    it("stops", function()
      rpc.stop_server(port)
      local ok, err = rpc.acall(me, "var", 0.3)
      expect(ok).is_false()
      expect(err).equal(mode == "rpc" and "connection refused" or "timeout")
      expect(rpc.server(me)).truthy()
      expect(rpc.call(me, "var", 10)).equal(5)
      rpc.stop_server(me)
    end)

    it("answers nobody once stopped", function()
      -- The socket of a connection that is gone may be another's when its call ends.
      expect(rpc.server(port)).truthy()
      local answer
      events.thread(function() answer = { rpc.acall(me, { "slow", 0.2 }, 0.4) } end)
      local listener = assert(socket.bind("127.0.0.1", base_port + 30 + n))
      events.sleep(0.1)
      rpc.stop_server(port)
      local near, far = {}, {}
      for i = 1, 3 do
        near[i] = assert(socket.connect("127.0.0.1", base_port + 30 + n))
        far[i] = assert(listener:accept())
      end
      events.sleep(0.2)
      for i = 1, 3 do
        for _, one in ipairs { near[i], far[i] } do
          one:settimeout(0.01)
          local data, reason, partial = one:receive(1)
          expect(data).is_nil()
          expect(reason).equal("timeout")
          expect(partial).equal("")
        end
      end
      for i = 1, 3 do
        near[i]:close()
        far[i]:close()
      end
      listener:close()
      while not answer do events.sleep(0.05) end
      expect(answer[1]).is_false()
      rpc.stop_server(me)
    end)

    it("reports its activity", function()
      expect(rpc.stats()).at_least(20)
      expect(rpc.infos()).matches("^Number of %u+")
    end)
  end)
end

describe("urpc", function()
  local urpc = require "splay.urpc"

  it("refuses what does not fit a datagram", function()
    local port = base_port + 20
    expect(urpc.server(port)).truthy()
    local long = ("x"):rep(9000)
    local none, err = urpc.acall("127.0.0.1", port, { "echo", long })
    expect(none).is_nil()
    expect(err).matches("^call length %(%d+%)$")
    function make_long() return long end
    local ok, reason = urpc.acall("127.0.0.1", port, "make_long")
    expect(ok).is_false()
    expect(reason).matches("^reply length %(%d+%)$")
    urpc.stop_server(port)
  end)
end)

describe("rpc", function()
  local rpc = require "splay.rpc"

  it("carries large data and limits connections", function()
    local port = base_port + 21
    expect(rpc.server(port, 2)).truthy()
    local long = ("0123456789"):rep(300000)
    expect(rpc.call("127.0.0.1", port, { "echo", long }, 60) == long).is_true()
    local t, done = misc.time(), 0
    for _ = 1, 4 do
      events.thread(function()
        rpc.call("127.0.0.1", port, { "slow", 0.1 })
        done = done + 1
      end)
    end
    while done < 4 do events.sleep(0.01) end
    expect(misc.time() - t).at_least(0.19)
    local none, err = rpc.server(port)
    expect(none).is_nil()
    expect(err).equal("address already in use")
    rpc.stop_server(port)
  end)
end)

describe("rpcq", function()
  local rpcq = require "splay.rpcq"

  it("goes on after a lost connection without running a call twice", function()
    local port = base_port + 22
    local net = require "splay.net"
    expect(rpcq.server(port)).truthy()
    rpcq.settings.reconnect_interval = 0.1
    local before = runs
    local result
    events.thread(function() result = rpcq.call("127.0.0.1", port, { "once", 0.5 }, 20) end)
    events.sleep(0.1)
    expect(runs).equal(before + 1)
    expect(select(3, rpcq.stats())).at_least(1)
    while not result do events.sleep(0.05) end
    expect(result).equal(before + 1)
    rpcq.stop_server(port)
    rpcq.settings.reconnect_interval = 5
    expect(net).truthy()
  end)
end)

test.run()
