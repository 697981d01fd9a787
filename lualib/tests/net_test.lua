-- Tests of splay.net: servers, clients and UDP over loopback.
require "splay.base"
local net = require "splay.net"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

-- Each test has ports of its own: closed ones may linger.
local port = 21000
local function next_port()
  port = port + 1
  return port
end

local quiet = log.new(5)
quiet.out = function() end

local function connect(to)
  local s = assert(socket.connect("127.0.0.1", to))
  s:settimeout(5)
  return s
end

local function echo(s)
  for line in function() return s:receive("*l") end do s:send(line .. "\n") end
end

describe("net.server", function()
  it("gives each connection a thread", function()
    local p = next_port()
    expect(net.server(p, echo)).is_a("string")
    local a, b = connect(p), connect(p)
    b:send("from b\n")
    expect(b:receive()).equal("from b")
    a:send("from a\n")
    expect(a:receive()).equal("from a")
    a:close()
    b:close()
    net.stop_server(p, true)
  end)

  it("accepts the arguments in either order, and nodes", function()
    local p = next_port()
    expect(net.server(echo, p)).is_a("string")
    local q = next_port()
    expect(net.server({ ip = "127.0.0.1", port = q }, echo)).is_a("string")
    local r = next_port()
    expect(net.server({ receive = echo }, { ip = "127.0.0.1", port = r })).is_a("string")
    for _, at in ipairs { p, q, r } do
      local s = connect(at)
      s:send("x\n")
      expect(s:receive()).equal("x")
      s:close()
      net.stop_server(at)
    end
    expect(function() net.server(p) end).errors("no handler")
  end)

  it("closes the connection when the handler returns or fails", function()
    local p, before = next_port(), net.l_o
    net.l_o = quiet
    local fail = false
    net.server(p, function(s)
      if fail then error("handler failed") end
      s:send("bye\n")
    end)
    local s = connect(p)
    expect(s:receive()).equal("bye")
    local data, reason = s:receive()
    expect(data).is_nil()
    expect(reason).equal("closed")
    fail = true
    s = connect(p)
    expect(select(2, s:receive())).equal("closed")
    net.l_o = before
    net.stop_server(p)
  end)

  it("says when the port is taken, and frees it when stopped", function()
    local p = next_port()
    net.server(p, echo)
    local thread, reason = net.server(p, echo)
    expect(thread).is_nil()
    expect(reason).equal("server still not stopped")
    local listener = assert(socket.bind("*", next_port()))
    thread, reason = net.server(port, echo)
    expect(thread).is_nil()
    expect(reason).equal("address already in use")
    listener:close()
    net.stop_server(p)
    expect((socket.connect("127.0.0.1", p))).is_nil()
    expect(net.server(p, echo)).is_a("string")
    net.stop_server(p)
    net.stop_server(p)
    net.stop_server(9)
  end)

  it("stop_server leaves connections alone unless told", function()
    local p = next_port()
    net.server(p, echo)
    local s = connect(p)
    s:send("1\n")
    expect(s:receive()).equal("1")
    net.stop_server(p)
    s:send("2\n")
    expect(s:receive()).equal("2")
    s:close()
    net.server(p, echo)
    s = connect(p)
    s:send("3\n")
    expect(s:receive()).equal("3")
    net.stop_server(p, true)
    expect(select(2, s:receive())).equal("closed")
  end)

  it("limits the connections handled at once", function()
    local p, inside, most = next_port(), 0, 0
    net.server(p, function(s)
      inside = inside + 1
      most = math.max(most, inside)
      s:receive()
      s:send("done\n")
      inside = inside - 1
    end, 2)
    local answers = 0
    for _ = 1, 5 do
      events.thread(function()
        local s = connect(p)
        events.sleep(0.05)
        s:send("go\n")
        if s:receive() == "done" then answers = answers + 1 end
        s:close()
      end)
    end
    local tries = 0
    while answers < 5 and tries < 200 do
      events.sleep(0.05)
      tries = tries + 1
    end
    expect(answers).equal(5)
    expect(most).equal(2)
    net.stop_server(p)
  end)

  it("filters by address", function()
    local p, asked = next_port()
    net.server(p, echo, nil, function(ip, from)
      asked = { ip, type(from) }
      return false
    end)
    local s = connect(p)
    s:send("x\n")
    expect((s:receive())).is_nil()
    expect(asked).same({ "127.0.0.1", "number" })
    net.stop_server(p)
  end)
end)

describe("net callbacks", function()
  it("run in order and end together", function()
    local p, calls = next_port(), {}
    local function note(name) calls[#calls + 1] = name end
    net.server(p, {
      initialize = function(_, connecting) note("initialize " .. tostring(connecting)) end,
      receive = function(s)
        while s:receive() do note("received") end
        note("receive ended")
      end,
      send = function(s)
        while events.sleep(0.02) do
          if not s:send("tick\n") then note("send failed") return end
        end
      end,
      finalize = function(s)
        note("finalize " .. type(s:getsockname()))
        events.fire("finalized")
      end,
    })
    local s = connect(p)
    expect(s:receive()).equal("tick")
    s:send("hello\n")
    expect(s:receive()).equal("tick")
    s:shutdown("send")
    events.wait("finalized", 5)
    expect(calls).same({
      "initialize nil", "received", "receive ended", "finalize string",
    })
    s:close()
    net.stop_server(p)
  end)

  it("may be given by position; a false from initialize closes at once", function()
    local p, received, finalized = next_port(), false, false
    local go_on = true
    net.server(p, {
      function(s)
        received = s:receive()
        s:send("ok\n")
      end,
      nil,
      function() return go_on end,
      function() finalized = true end,
    })
    local s = connect(p)
    s:send("x\n")
    expect(s:receive()).equal("ok")
    expect(received).equal("x")
    s:close()
    events.sleep(0.05)
    expect(finalized).is_true()
    received, finalized, go_on = nil, false, false
    s = connect(p)
    expect((s:receive())).is_nil()
    expect(received).is_nil()
    expect(finalized).is_false()
    net.stop_server(p)
  end)

  it("client runs the same callbacks, told that it connected", function()
    local p = next_port()
    net.server(p, echo)
    local got, flags = {}, {}
    local thread = net.client({ ip = "127.0.0.1", port = p }, {
      initialize = function(_, connecting) flags.initialize = connecting end,
      send = function(s, connecting)
        flags.send = connecting
        s:send("a\nb\n")
        events.sleep(5)
      end,
      receive = function(s, connecting)
        flags.receive = connecting
        for i = 1, 2 do got[i] = s:receive() end
      end,
      finalize = function(_, connecting)
        flags.finalize = connecting
        events.fire("client ended")
      end,
    })
    expect(thread).is_a("string")
    expect((events.wait("client ended", 3))).is_true()
    expect(got).same({ "a", "b" })
    expect(flags).same({ initialize = true, send = true, receive = true, finalize = true })
    net.stop_server(p)
  end)

  it("client returns the reason of a failure", function()
    local before = net.l_o
    net.l_o = quiet
    local thread, reason = net.client("127.0.0.1", next_port(), { send = print })
    net.l_o = before
    expect(thread).is_nil()
    expect(reason).equal("connection refused")
  end)
end)

describe("net.udp_helper", function()
  it("calls its handler for each packet", function()
    local p, got = next_port(), {}
    local u = net.udp_helper(p, function(data, ip, from)
      got[#got + 1] = { data, ip, from }
      if #got == 2 then events.fire("two packets") end
    end)
    expect(u.server).is_a("string")
    u.s:sendto("hello", "127.0.0.1", p)
    u.s:sendto("world", { ip = "127.0.0.1", port = p })
    expect((events.wait("two packets", 3))).is_true()
    expect(got).same({ { "hello", "127.0.0.1", p }, { "world", "127.0.0.1", p } })
    events.kill(u.server)
    u.s:close()
  end)

  it("fires an event named after its port otherwise", function()
    local p = next_port()
    local u = net.udp_helper({ ip = "127.0.0.1", port = p })
    local sender = socket.udp()
    for i = 1, 3 do sender:sendto("packet " .. i, "127.0.0.1", p) end
    for i = 1, 3 do
      local ok, packet = events.wait("udp:" .. p, 3)
      expect(ok).is_true()
      expect(packet[1]).equal("packet " .. i)
      expect(packet[2]).equal("127.0.0.1")
      expect(packet[3]).equal(packet.port)
      expect(packet.data).equal(packet[1])
      expect(packet.ip).equal("127.0.0.1")
    end
    events.kill(u.server)
    u.s:close()
    sender:close()
  end)

  it("says when the port is taken", function()
    local p = next_port()
    local u = net.udp_helper(p)
    local second, reason = net.udp_helper(p, print)
    expect(second).is_nil()
    expect(reason).equal("address already in use")
    events.kill(u.server)
    u.s:close()
  end)
end)

test.run()
