-- Tests of splay.restricted_socket: the limits and what they forbid.
require "splay.base"
local restricted = require "splay.restricted_socket"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local settings = {
  max_send = 1000, max_receive = 1000, max_sockets = 3, start_port = 22000, end_port = 22009,
  blacklist = { "203.0.113.1", "198.51.100.*" },
}

describe("restricted_socket", function()
  it("is set once", function()
    local ok, reason = restricted.init()
    expect(ok).is_false()
    expect(reason).equal("no settings")
    expect((restricted.init(settings))).is_true()
    ok, reason = restricted.init(settings)
    expect(ok).is_false()
    expect(reason).equal("init() already called")
  end)

  it("shows limits and use", function()
    expect(restricted.wrap(socket) == socket).is_true()
    expect({ socket.limits() }).same({ 1000, 1000, 3, 22000, 22009 })
    local sent, received, tcp, udp = socket.stats()
    expect(sent + received + tcp + udp).equal(0)
    expect(socket.infos()).matches("^Sent: 0 / 1000\nReceived: 0 / 1000\nTCP sockets: 0 / 3")
  end)

  it("forbids ports out of range", function()
    local s, reason = socket.bind("127.0.0.1", 21999)
    expect(s).is_nil()
    expect(reason).equal("restricted")
    s = assert(socket.bind("127.0.0.1", 22000))
    s:close()
  end)

  it("counts sockets", function()
    local all = {}
    for i = 1, 3 do all[i] = assert(socket.tcp()) end
    expect(select(3, socket.stats())).equal(3)
    local s, reason = socket.tcp()
    expect(s).is_nil()
    expect(reason).equal("restricted")
    local u = assert(socket.udp())
    expect(select(4, socket.stats())).equal(1)
    u:close()
    for i = 1, 3 do all[i]:close() end
    expect(select(3, socket.stats())).equal(0)
    local again = assert(socket.tcp())
    again:close()
  end)

  it("forbids hosts", function()
    for _, host in ipairs { "203.0.113.1", "198.51.100.7" } do
      local s = socket.tcp()
      local ok, reason = s:connect(host, 80)
      expect(ok).is_nil()
      expect(reason).equal("restricted")
      s:close()
      s = socket.udp()
      ok, reason = s:sendto("x", host, 80)
      expect(ok).is_nil()
      expect(reason).equal("restricted")
      s:close()
    end
  end)

  it("holds for remote calls too", function()
    for _, name in ipairs { "rpc", "urpc", "rpcq" } do
      local rpc = require("splay." .. name)
      local ok, reason = rpc.acall({ ip = "203.0.113.1", port = 80 }, "f", 1)
      expect(ok).is_false()
      expect(reason).equal("restricted")
      if name ~= "urpc" then
        ok, reason = rpc.server(21999)
        expect(ok).is_nil()
        expect(reason).equal("restricted")
      end
    end
    local rpc = require "splay.rpc"
    local before = select(3, socket.stats())
    expect((rpc.server(22003))).is_true()
    expect(select(3, socket.stats())).equal(before + 1)
    function answer() return 42 end
    expect(rpc.call({ ip = "127.0.0.1", port = 22003 }, "answer", 5)).equal(42)
    rpc.stop_server(22003)
    answer = nil
    events.sleep(0.05)
    expect(select(3, socket.stats())).equal(before)
    local sent, received = socket.stats()
    expect(sent).at_least(10)
    expect(received).equal(sent)
  end)

  it("limits what is sent and received", function()
    local listener = assert(socket.bind("127.0.0.1", 22001))
    local client = assert(socket.connect("127.0.0.1", 22001))
    local server = assert(listener:accept())
    server:settimeout(5)
    local before, before_received = socket.stats()
    expect(client:send(("x"):rep(600))).equal(600)
    expect(#server:receive(600)).equal(600)
    local last, reason, sent = client:send(("x"):rep(401 - before))
    expect(last).is_nil()
    expect(reason).equal("restricted")
    expect(sent).equal(0)
    expect(client:send(("x"):rep(400 - before))).equal(400 - before)
    local total_sent, total_received = socket.stats()
    expect(total_sent).equal(1000)
    expect(total_received).equal(before_received + 600)
    client:close()
    server:close()
    listener:close()
  end)
end)

test.run()
