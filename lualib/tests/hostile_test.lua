-- Servers of remote calls meet bytes that no honest node sends, and go on serving.

require "splay.base"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local base_port = (job and job.me.port or 21000) + 60

function echo(...) return ... end

local deep = ("l"):rep(100000)
local streams = {
  "garbage without a newline",
  "\n", "-1\n", "0\n", "1e9\nx", "0x10\nabc", "99999999999999999999\n", "5\nab",
  "3\nabc", "2\nle", "2\nde", "1\ni", "4\ni123", "6\n999:ab", "1\nn",
  "14\nd4:type4:pinge" .. "garbage",
  "22\nd4:calli1e4:type4:calle", "20\nd4:calln4:type4:calle",
  "24\nd4:callle4:type4:call1:ne", "30\nd4:callli1eei2e4:type4:calle1:n",
  #deep .. "\n" .. deep,
  ("9"):rep(100000),
}
local datagrams = {
  "", "d", "de", "le", "d3:key", "d3:keyi1e4:type4:calle", "d3:key0:4:type4:pinge",
  "d4:freet3:key5:abcde", "d4:freet3:key1:a4:keysi1ee", "d4:freet3:key1:a4:keysl",
  "d3:key1:k5:replyt4:callle4:type4:calle", "d3:key99:k4:type4:calle",
  "d4:calll4:echoe4:type4:call3:key1:a9:source_ip3:x.y11:source_porti-5ee",
  "d4:call" .. ("l"):rep(8000), ("x"):rep(60000), deep:sub(1, 60000),
}

describe("rpc and rpcq servers", function()
  it("survive hostile streams", function()
    for n, mode in ipairs { "rpc", "rpcq" } do
      local rpc, port = require("splay." .. mode), base_port + n
      expect(rpc.server(port)).truthy()
      for _, bytes in ipairs(streams) do
        local s = socket.tcp()
        expect(s:connect("127.0.0.1", port)).equal(1)
        s:settimeout(0.05)
        s:send(bytes)
        s:receive("*a")
        s:close()
      end
      -- Connections that say nothing do not keep others from being served.
      local silent = {}
      for i = 1, 20 do
        silent[i] = socket.tcp()
        silent[i]:connect("127.0.0.1", port)
      end
      expect(rpc.call("127.0.0.1", port, { "echo", "alive" }, 5)).equal("alive")
      for i = 1, 20 do silent[i]:close() end
      expect(rpc.call("127.0.0.1", port, { "echo", "still" }, 5)).equal("still")
      rpc.stop_server(port)
    end
  end)
end)

describe("urpc servers", function()
  it("survive hostile datagrams", function()
    local urpc, port = require "splay.urpc", base_port + 3
    expect(urpc.server(port)).truthy()
    local u = socket.udp()
    for _, bytes in ipairs(datagrams) do
      u:sendto(bytes, "127.0.0.1", port)
    end
    for length = 1, 60 do
      local bytes = {}
      for i = 1, length do bytes[i] = string.char(math.random(0, 255)) end
      u:sendto(table.concat(bytes), "127.0.0.1", port)
    end
    expect(urpc.call("127.0.0.1", port, { "echo", "alive" }, 5)).equal("alive")
    u:close()
    urpc.stop_server(port)
  end)
end)

describe("callers", function()
  it("get an error from servers that answer nonsense", function()
    local rpc, net = require "splay.rpc", require "splay.net"
    local port = base_port + 4
    for n, answer in ipairs { "x", "2\nxx", "5\nab", "", "1\nn", "3\ni1e", deep } do
      local name = net.server(port + n, function(s)
        s:receive(1)
        s:send(answer)
      end)
      expect(name).truthy()
      local ok, err = rpc.acall("127.0.0.1", port + n, "var", 2) -- splay: allow(unknown-remote)
      expect(ok).is_false()
      expect(err).is_a("string")
      net.stop_server(port + n)
    end
  end)
end)

test.run()
