-- Tests of the limits of splay.restricted_socket that the other file's settings leave out.
require "splay.base"
local restricted = require "splay.restricted_socket"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

restricted.init({
  max_receive = 100, max_sockets = 3, local_ip = "127.0.0.1", udp_drop_ratio = 1,
  blacklist = { "*.example.org", "localhost" },
})

describe("restricted_socket", function()
  it("replaces addresses to bind", function()
    local s = assert(socket.bind("127.0.0.9", 0))
    expect((s:getsockname())).equal("127.0.0.1")
    s:close()
    local u = socket.udp()
    expect(u:setsockname("*", 0)).equal(1)
    expect((u:getsockname())).equal("127.0.0.1")
    u:close()
    expect(select(6, restricted.limits())).equal("127.0.0.1")
  end)

  it("drops datagrams", function()
    local u = socket.udp()
    u:setsockname("*", 0)
    u:settimeout(0.05)
    local _, port = u:getsockname()
    local v = socket.udp()
    expect(v:sendto("lost", "127.0.0.1", port)).equal(4)
    expect({ u:receive() }).same({ nil, "timeout" })
    u:close()
    v:close()
  end)

  it("forbids names before they are looked up", function()
    for _, host in ipairs { "www.example.org", "localhost", "LocalHost" } do
      local s, reason = socket.connect(host, 80)
      expect(s).is_nil()
      expect(reason).equal("restricted")
    end
    expect(select(3, restricted.stats())).equal(0)
  end)

  it("closes connections beyond the number", function()
    local server = assert(socket.bind("*", 0))
    local _, port = server:getsockname()
    local client = assert(socket.connect("127.0.0.1", port))
    local spare = assert(socket.tcp())
    expect({ server:accept() }).same({ nil, "restricted" })
    expect(select(2, client:receive())).equal("closed")
    client:close()
    spare:close()
    client = assert(socket.connect("127.0.0.1", port))
    local accepted = assert(server:accept())
    expect(select(3, restricted.stats())).equal(3)
    accepted:close()
    client:close()
    server:close()
    expect(select(3, restricted.stats())).equal(0)
  end)

  it("counts sockets that were forgotten", function()
    for _ = 1, 20 do
      if not socket.tcp() then
        collectgarbage()
        collectgarbage()
      end
    end
    collectgarbage()
    collectgarbage()
    expect(select(3, restricted.stats())).equal(0)
  end)

  it("stops receiving", function()
    local server = assert(socket.bind("*", 0))
    local _, port = server:getsockname()
    local client = assert(socket.connect("127.0.0.1", port))
    local accepted = assert(server:accept())
    client:send(("x"):rep(150))
    expect(#accepted:receive(150)).equal(150)
    client:send("y")
    expect({ accepted:receive(1) }).same({ nil, "restricted", "" })
    client:close()
    accepted:close()
    server:close()
  end)
end)

test.run()
