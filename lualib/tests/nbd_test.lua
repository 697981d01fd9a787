-- Tests of splay.nbd: servers, and the clients of the same library, over loopback.
require "splay.base"
local nbd = require "splay.nbd"
local ssl = require "ssl"
local identity = require "tls_identity"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

-- Each test has ports of its own: closed ones may linger.
local port = 22500
local function next_port()
  port = port + 1
  return port
end

-- Serves a plugin, gives a client to `use`, and what was logged.
local function serving(plugin, settings, use)
  local lines = {}
  settings = settings or {}
  settings.log = function(line) lines[#lines + 1] = line end
  local server = assert(nbd.serve(next_port(), plugin, settings))
  local client = assert(nbd.connect("127.0.0.1", server.port, settings.name))
  use(client, server)
  client:close()
  server:close()
  return lines
end

-- A disk that notes its callbacks.
local function noting(calls, more)
  local disk = nbd.memory(65536)
  local plugin = {}
  local names = { "open", "close", "get_size", "pread", "pwrite", "flush", "trim", "zero" }
  for _, name in ipairs(names) do
    local f = disk[name] or function() return "handle" end
    plugin[name] = function(h, a, ...)
      local shown = type(a) == "string" and #a or a
      local told = { name, tostring(h), shown, ... }
      for i = 1, #told do told[i] = tostring(told[i]) end
      calls[#calls + 1] = table.concat(told, " ")
      return f(h, a, ...)
    end
  end
  for name, f in pairs(more or {}) do plugin[name] = f end
  return plugin
end

describe("a disk", function()
  it("keeps what is written", function()
    local lines = serving(nbd.memory(1048576), nil, function(c)
      expect(c.size).equal(1048576)
      expect(c.readonly).is_false()
      expect(c:pread(4, 1000)).equal("\0\0\0\0")
      expect(c:pwrite("hello", 4094)).is_true()
      expect(c:pread(9, 4092)).equal("\0\0hello\0\0")
      local block = ("0123456789abcdef"):rep(16384)
      expect(c:pwrite(block, 262144, true)).is_true()
      expect(c:pread(#block, 262144) == block).is_true()
      expect(c:zero(262144, 300000)).is_true()
      expect(c:pread(3, 299998)).equal(block:sub(37855, 37856) .. "\0")
      expect(c:trim(4096, 4096)).is_true()
      expect(c:pread(4, 4094)).equal("he\0\0")
      expect(c:flush()).is_true()
    end)
    expect(lines).same {}
  end)

  it("tells what is allocated", function()
    serving(nbd.memory(65536), nil, function(c)
      c:pwrite("x", 9000)
      expect(c:extents(65536, 0)).same {
        { length = 8192, hole = true, zero = true }, { length = 4096, hole = false, zero = false },
        { length = 53248, hole = true, zero = true },
      }
      expect(c:extents(1000, 8000)[1]).same { length = 192, hole = true, zero = true }
    end)
  end)

  it("answers errors by name", function()
    serving(nbd.memory(4096), nil, function(c)
      expect({ c:pread(2, 4095) }).same { nil, "EINVAL" }
      expect({ c:pwrite("xy", 4095) }).same { nil, "ENOSPC" }
      expect(c:pread(1, 0)).equal("\0")
    end)
    serving(nbd.memory(4096), { readonly = true }, function(c)
      expect(c.readonly).is_true()
      expect({ c:pwrite("x", 0) }).same { nil, "EPERM" }
    end)
  end)

  it("of what callbacks raise", function()
    local plugin = { get_size = function() return 4096 end }
    function plugin.pread(_, count, offset)
      if offset == 1 then error("broke at " .. offset) end
      if offset == 2 then error { errno = "ENOSPC", message = "full" } end
      if offset == 3 then error {} end
      if offset == 4 then return nil end
      if offset == 5 then return "" end
      if offset == 6 then return 123456 end
      return ("x"):rep(count + 10)
    end
    function plugin.pwrite() error { errno = "EROFS" } end
    local lines = serving(plugin, nil, function(c)
      expect({ c:pread(1, 1) }).same { nil, "EIO" }
      expect({ c:pread(1, 2) }).same { nil, "ENOSPC" }
      expect({ c:pread(1, 3) }).same { nil, "EIO" }
      expect({ c:pread(1, 4) }).same { nil, "EIO" }
      expect({ c:pread(1, 5) }).same { nil, "EIO" }
      expect(c:pread(3, 6)).equal("123")
      expect(c:pread(3, 7)).equal("xxx")
      expect({ c:pwrite("x", 0) }).same { nil, "EPERM" }
    end)
    expect(lines[1]).matches("^lua%[1%]: error: pread: .*nbd_test.lua:%d+: broke at 1$")
    expect(lines[2]).equal("lua[1]: error: pread: full")
    expect(lines[3]).equal("lua[1]: error: pread: (null)")
    expect(lines[4]).equal("lua[1]: error: pread: return value is not a string")
    expect(lines[5]).equal("lua[1]: error: pread: returned string length < count bytes")
    expect(lines[6]).equal("lua[1]: error: pwrite: EROFS")
    expect(#lines).equal(6)
  end)
end)

describe("callbacks", function()
  it("come in nbdkit's order", function()
    local calls = {}
    serving(noting(calls), nil, function(c)
      c:pwrite("abc", 8, true)
      c:trim(512, 0)
      c:zero(512, 0)
      c:zero(512, 512, true)
      c:flush()
      c:pread(4, 0)
    end)
    events.sleep(0.2)
    expect(calls).same {
      "open false 0", "get_size handle", "pwrite handle 3 8", "flush handle", "trim handle 512 0",
      "zero handle 512 0 true", "zero handle 512 512 false", "flush handle", "pread handle 4 0",
      "close handle",
    }
  end)

  it("decide what a client sees", function()
    local function flags(more, settings)
      local found
      serving(noting({}, more), settings, function(c) found = c.flags end)
      return found
    end
    local no = function() return false end
    expect(flags {}).equal(0x8ed)
    expect(flags { can_flush = no, can_trim = no }).equal(0x8c9)
    expect(flags({}, { readonly = true })).equal(0x87)
    expect(flags { can_write = no }).equal(0x87)
    local yes = function() return true end
    expect(flags { is_rotational = yes, can_multi_conn = yes }).equal(0x9fd)
  end)

  it("may refuse a client", function()
    for _, more in ipairs {
      { open = function() error("no disk") end }, { get_size = function() return -5 end },
      { get_size = function() return "many" end }, { can_write = function() return 1 end },
      { can_flush = function() error("no") end },
    } do
      local lines, at = {}, next_port()
      local server = nbd.serve(at, noting({}, more), {
        log = function(line) lines[#lines + 1] = line end,
      })
      expect({ nbd.connect("127.0.0.1", at) }).same { nil, "unknown export" }
      expect(#lines).equal(1)
      server:close()
    end
    serving(noting({}, { get_size = function() return "4096.7" end }), nil, function(c)
      expect(c.size).equal(4096)
    end)
  end)

  it("run one at a time, and may wait", function()
    local running, most, turns = 0, 0, {}
    local plugin = { get_size = function() return 4096 end }
    function plugin.pread(_, count, offset)
      running = running + 1
      most = math.max(most, running)
      events.sleep(0.05)
      running = running - 1
      turns[#turns + 1] = offset
      return ("x"):rep(count)
    end
    local at = next_port()
    local server = nbd.serve(at, plugin)
    local done = 0
    for i = 1, 2 do
      local c = assert(nbd.connect("127.0.0.1", at))
      for j = 1, 3 do
        events.thread(function()
          expect(c:pread(1, i * 10 + j)).equal("x")
          done = done + 1
        end)
      end
    end
    events.sleep(1.5)
    expect({ done, most, #turns }).same { 6, 1, 6 }
    expect(server.connections).equal(2)
    server:close()
    events.sleep(0.2)
    expect(server.connections).equal(0)
  end)

  it("run in parallel where they are allowed to", function()
    local running, most = 0, 0
    local plugin = { get_size = function() return 4096 end, parallel = 4 }
    function plugin.pread(_, count, offset)
      running = running + 1
      most = math.max(most, running)
      events.sleep((100 - offset) / 1000) -- later ones are answered sooner
      running = running - 1
      return (tostring(offset % 10)):rep(count)
    end
    serving(plugin, nil, function(c)
      local done = 0
      for i = 1, 8 do
        events.thread(function()
          expect(c:pread(2, i)).equal(tostring(i):rep(2))
          done = done + 1
        end)
      end
      events.sleep(2)
      expect({ done, most }).same { 8, 4 }
    end)
  end)

  it("write zeroes where there is no better way", function()
    local written = {}
    local plugin = { get_size = function() return 1048576 end, pread = function() return "" end }
    function plugin.pwrite(_, data, offset)
      written[#written + 1] = { #data, offset, data == ("\0"):rep(#data) }
    end
    serving(plugin, nil, function(c) expect(c:zero(70000, 8)).is_true() end)
    expect(written).same { { 70000, 8, true } }
    function plugin.zero() error { errno = "EOPNOTSUPP" } end
    serving(plugin, nil, function(c) expect(c:zero(10, 8)).is_true() end)
    expect(#written).equal(2)
  end)
end)

describe("servers", function()
  it("have several exports", function()
    local a, b = nbd.memory(512), nbd.memory(1024)
    local at = next_port()
    local server = nbd.serve(at, nil, { exports = { a = a, b = b } })
    expect(nbd.connect("127.0.0.1", at, "a").size).equal(512)
    expect(nbd.connect({ ip = "127.0.0.1", port = at }, "b").size).equal(1024)
    expect({ nbd.connect("127.0.0.1", at, "c") }).same { nil, "unknown export" }
    server:close()
  end)

  it("say why they cannot be", function()
    local at = next_port()
    local server = nbd.serve(at, nbd.memory(512))
    expect({ nbd.serve(at, nbd.memory(512)) }).same { nil, "address already in use" }
    server:close()
    expect(function() nbd.serve(at, {}) end).errors("has no function")
    expect(function() nbd.serve("x", nbd.memory(512)) end).errors("no port")
  end)

  it("survive clients that vanish or talk nonsense", function()
    local closed = 0
    local disk = nbd.memory(1048576)
    function disk.close() closed = closed + 1 end
    local at = next_port()
    local server = nbd.serve(at, disk, { log = function() end })
    local s = socket.connect("127.0.0.1", at)
    s:receive(18)
    s:send("GET / HTTP/1.0\r\n\r\n")
    expect({ s:receive(1) }).same { nil, "closed", "" }
    local c = nbd.connect("127.0.0.1", at)
    -- Most of a write is missing when its client is gone.
    c.sock:send("\37\96\149\19\0\0\0\1" .. ("\0"):rep(16) .. "\0\1\0\0" .. ("x"):rep(1000))
    c.sock:close()
    events.sleep(0.5)
    expect({ server.connections, closed }).same { 0, 1 }
    expect(nbd.connect("127.0.0.1", at):pread(1, 0)).equal("\0")
    server:close()
  end)

  it("answer many requests that come at once", function()
    serving(nbd.memory(4194304), nil, function(c)
      local done = 0
      for i = 0, 63 do
        events.thread(function()
          local data = string.char(i):rep(16384)
          assert(c:pwrite(data, i * 16384))
          if c:pread(16384, i * 16384) == data then done = done + 1 end
        end)
      end
      local limit = misc.time() + 20
      while done < 64 and misc.time() < limit do events.sleep(0.05) end
      expect(done).equal(64)
      -- More than any buffer holds.
      local large = ("0123456789abcdef"):rep(131072)
      expect(c:pwrite(large, 1048576)).is_true()
      expect(c:pread(#large, 1048576) == large).is_true()
    end)
  end)

  it("encrypt", function()
    local at = next_port()
    local server = assert(nbd.serve(at, nbd.memory(512), {
      tls = { certificate_pem = identity.certificate, key_pem = identity.key, required = true },
    }))
    expect({ nbd.connect("127.0.0.1", at) }).same { nil, "TLS required" }
    local s = assert(socket.connect("127.0.0.1", at))
    s:receive(18)
    s:send("\0\0\0\3IHAVEOPT\0\0\0\5\0\0\0\0")
    expect(s:receive(20):sub(9)).equal("\0\0\0\5\0\0\0\1\0\0\0\0")
    local trusting = { mode = "client", ca = identity.authority, server_name = "localhost" }
    s = assert(ssl.wrap(s, trusting))
    assert(s:dohandshake())
    s:send("IHAVEOPT\0\0\0\1\0\0\0\0")
    expect(s:receive(10)).equal("\0\0\0\0\0\0\2\0\9\109")
    -- Read a byte, and leave.
    s:send("\37\96\149\19\0\0\0\0cookies!" .. ("\0"):rep(8) .. "\0\0\0\1")
    expect(s:receive(17)).equal("\103\68\102\152\0\0\0\0cookies!\0")
    s:close()
    server:close()
  end)
end)

describe("scripts of nbdkit", function()
  local script = [==[#!/usr/sbin/nbdkit lua
    local size = 1 << 20
    local seen = {}
    function config(key, value)
      seen[#seen + 1] = key .. "=" .. value
      if key == "size" then size = tonumber(value) end
      if key == "bad" then error("unknown parameter bad=" .. value) end
    end
    function config_complete() seen[#seen + 1] = "complete" end
    function open(readonly) return nil end
    function get_size(h) return size // 512 * 512 end
    function pread(h, count, offset)
      local t = {}
      for i = 0, count - 1 do t[i + 1] = string.char((offset + i) // 512 & 0xff ~ 1) end
      return table.concat(t)
    end
    function order() return table.concat(seen, " ") end
    function close(h) end
    description = order
  ]==]

  it("are served unmodified", function()
    local plugin = assert(nbd.loadstring(script, "disk.lua", { "size=2000", "other=a=b" }))
    serving(plugin, nil, function(c)
      expect(c.size).equal(1536)
      expect(c.readonly).is_true()
      expect(c:pread(4, 510)).equal("\1\1\0\0")
    end)
    expect(plugin.description()).equal("size=2000 other=a=b complete")
    expect(rawget(_G, "pread")).is_nil()
  end)

  it("fail in nbdkit's words", function()
    local function reason(source, parameters)
      return select(2, nbd.loadstring(source, "x.lua", parameters))
    end
    expect(reason("x = = 1")).matches("^could not parse Lua script x.lua:1: ")
    expect(reason("\nerror('top')")).equal("could not run Lua script: x.lua:2: top")
    expect(reason("error {}")).equal("could not run Lua script: (null)")
    expect(reason(script, { "bad=1" })).equal("config: x.lua:7: unknown parameter bad=1")
    local minimal = "function open() end get_size = open pread = open"
    expect(reason(minimal)).is_nil()
    expect(reason(minimal, { "a=1" })).equal(
      "x.lua: this plugin does not need command line configuration")
    expect(reason(minimal .. " function config_complete() error('no') end")).equal(
      "config_complete: x.lua:1: no")
  end)

  it("compute as Lua 5.3 does", function()
    local function value(expression)
      local source = "function open() return " .. expression .. " end get_size = open pread = open"
      local ok, result = pcall(assert(nbd.loadstring(source, "x.lua")).open)
      return result, ok
    end
    for expression, result in pairs {
      ["7 // 2"] = 3, ["-7 // 2"] = -4, ["7 // -2"] = -4, ["7.5 // 2"] = 3, ["'9' // 2"] = 4,
      ["2^53 // 1"] = 2^53, ["1 << 40"] = 2^40, ["1 << 63 >> 62"] = 2, ["1 << 64"] = 0,
      ["1 << -1"] = 0, ["-1 & 0xff"] = 255, ["0xF0 | 0x0F"] = 255, ["5 ~ 1"] = 4, ["~0"] = -1,
      ["~5 & 7"] = 2, ["2^40 | 1"] = 2^40 + 1, ["0x123456789a >> 4"] = 0x123456789,
      ["0x123456789a >> 36"] = 1, ["-1 >> 60"] = 15, ["-16 | 1"] = -15,
      ["0xffffffffffffffff & 3"] = 3, ["3 << 31"] = 3 * 2^31, ["(1 << 52) ~ 1"] = 2^52 + 1,
      ["math.type(3)"] = "integer", ["math.type(3.5)"] = "float",
      ["math.tointeger(3.5) == nil"] = true,
      ["table.pack(1, nil).n"] = 2, ["select('#', table.unpack({1, 2}))"] = 2,
      ["math.ult(-1, 1)"] = false,
    } do
      expect((value(expression))).equal(result)
    end
    for expression, result in pairs {
      ["string.pack('<I4', 0x01020304)"] = "\4\3\2\1",
      ["string.pack('>I2 b', 258, -1)"] = "\1\2\255",
      ["string.pack('<i8', -2)"] = "\254" .. ("\255"):rep(7),
      ["string.pack('z s1', 'ab', 'c')"] = "ab\0\1c",
      ["string.packsize('<I4 x H i8')"] = 15, ["string.unpack('<i2', '\\254\\255')"] = -2,
      ["select(3, string.unpack('>I3 B', 'a\\0\\1\\2\\3', 2))"] = 6,
      ["(select(2, string.unpack('s2 z', '\\1\\0xab\\0')))"] = "ab",
      ["(string.unpack('c3', 'abcd'))"] = "abc", ["string.pack('c4', 'ab')"] = "ab\0\0",
    } do
      expect((value(expression))).equal(result)
    end
    expect((value("string.pack('d', 1)"))).matches("not supported")
    expect((value("string.pack('b', 200)"))).matches("overflow")
    expect((value("string.unpack('<I4', 'abc')"))).matches("too short")
    expect((value("1 // 0"))).matches("attempt to perform 'n//0'")
    expect((value("1.5 & 1"))).matches("^x.lua:1: number has no integer representation")
    expect((value("{} // 1"))).matches("^x.lua:1: attempt to perform arithmetic on a table value")
    expect((value("1 << 62 | 1"))).matches("more than 53 bits")
  end)
end)

describe("Unix sockets", function()
  it("serve too, where there are any", function()
    local path = os.tmpname()
    os.remove(path)
    if not path:find("/", 1, true) then path = "./" .. path end -- in the sandbox
    local server, reason = nbd.serve(path, nbd.memory(512))
    if not server then
      -- In a simulation, and in the sandbox.
      expect(reason == "no Unix sockets here" or reason == "restricted").is_true()
      return
    end
    expect({ nbd.serve(path, nbd.memory(512)) }).same { nil, "address already in use" }
    local c = assert(nbd.connect(path))
    expect(c:pwrite("x", 0)).is_true()
    expect(c:pread(2, 0)).equal("x\0")
    c:close()
    server:close()
    expect(io.open(path)).is_nil()
    expect({ nbd.connect(path) }).same { nil, "No such file or directory" }
  end)
end)

test.run()
