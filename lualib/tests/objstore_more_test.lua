-- Stores without handlers: plain operations, directories, changes for other stores, the network.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local objstore = require "splay.objstore"

describe("plain operations", function()
  local store = objstore.open()

  it("work on data", function()
    expect(store:create("a")).is_true()
    expect({ store:create("a", true) }).same { nil, "File exists", 17 }
    expect(store:write("a", 3, "def")).is_true()
    expect(store:read("a")).equal("\0\0\0def")
    expect(store:write("a", 0, "abc")).is_true()
    expect(store:append("a", "ghi")).is_true()
    expect(store:read("a", 2, 4)).equal("cdef")
    expect(store:truncate("a", 2)).is_true()
    expect(store:truncate("a", 4)).is_true()
    expect(store:read("a")).equal("ab\0\0")
    expect(store:write_full("a", "x")).is_true()
    expect((store:stat("a"))).equal(1)
    expect(select(2, store:stat("a"))).near(os.time(), 2)
    expect({ store:write("a", -1, "x") }).same { nil, "File too large", 27 }
    expect({ store:read("a", -1) }).same { nil, "Invalid argument", 22 }
    expect(function() store:write("a", 0.5, "x") end).errors("no integer representation")
    expect(function() store:write("a", 0) end).errors("string expected")
    expect(store:remove("a")).is_true()
    for _, name in ipairs { "remove", "stat", "read", "getxattrs", "map_clear" } do
      expect({ store[name](store, "a") }).same { nil, "No such file or directory", 2 }
    end
  end)

  it("work on attributes", function()
    expect(store:setxattr("b", "x", "1")).is_true()
    expect(store:getxattr("b", "x")).equal("1")
    expect({ store:getxattr("b", "y") }).same { nil, "No data available", 61 }
    expect({ store:getxattr("none", "y") }).same { nil, "No such file or directory", 2 }
    expect(store:getxattrs("b")).same { x = "1" }
    expect(store:rmxattr("b", "x")).is_true()
    expect({ store:rmxattr("b", "x") }).same { nil, "No data available", 61 }
  end)

  it("work on the map", function()
    for _, key in ipairs { "b", "a", "a/2", "a/1" } do store:map_set_val("c", key, "=" .. key) end
    expect(store:map_get_val("c", "a/1")).equal("=a/1")
    expect({ store:map_get_val("c", "x") }).same { nil, "No such file or directory", 2 }
    expect(store:map_get_keys("c")).same { "a", "a/1", "a/2", "b" }
    expect(store:map_get_keys("c", "a", 2)).same { "a/1", "a/2" }
    expect(store:map_get_vals("c", "a/1", "a/")).same { ["a/2"] = "=a/2" }
    expect(store:map_get_keys("none")).same {}
    expect(store:map_remove_key("c", "a")).is_true()
    expect(store:map_write_header("c", "head")).is_true()
    expect(store:map_clear("c")).is_true()
    expect(store:map_read_header("c")).equal("head")
    expect(store:map_get_vals("c")).same {}
  end)

  it("list names and count", function()
    local s = objstore.open()
    for _, oid in ipairs { "b", "a", "c" } do s:create(oid) end
    s:remove("b")
    expect(s:list()).same { "a", "c" }
    expect(s:list("a")).same { "c" }
    expect(s:list("", 1)).same { "a" }
    expect(s:versions()).same { a = 2, b = 4, c = 3 }
    local stats = s:stats()
    expect(stats.objects).equal(2)
    expect(stats.version).equal(4)
    expect(s:forget_removed()).equal(1)
    expect(s:version("b")).equal(0)
    expect(s:stats().bytes).at_most(stats.bytes - 1)
    s:close()
    expect(function() s:list() end).errors("the store is closed")
    expect(function() s:exec("o", "", "") end).errors("the store is closed")
  end)

  it("fill a store up to its bound", function()
    local s = objstore.open { max_bytes = 1000 }
    expect({ s:write_full("o", ("x"):rep(1001)) }).same { nil, "No space left on device", 28 }
    expect(s:stat("o")).is_nil()
    expect(s:write_full("o", ("x"):rep(800))).is_true()
    expect(s:append("o", ("x"):rep(200))).is_nil()
    expect(s:write_full("o", ("x"):rep(100))).is_true()
    expect(s:append("o", ("x"):rep(200))).is_true()
  end)
end)

describe("a directory", function()
  local folder = os.tmpname()
  os.remove(folder)

  it("has everything when it is opened again", function()
    for _, flush in ipairs { "commit", "second", "never" } do
      local store = assert(objstore.open { directory = folder, flush = flush })
      store:remove("gone")
      store:write_full("gone", "x")
      store:remove("gone")
      store:write_full("o", flush)
      store:exec("o", "function h(input) cls.setxattr('a', input) end cls.register(h)", "h",
        "\0\255")
      expect(store:flush()).is_true()
      local versions = store:versions()
      store:close()
      store = assert(objstore.open { directory = folder })
      expect(store:read("o")).equal(flush)
      expect(store:getxattr("o", "a")).equal("\0\255")
      expect(store:versions()).same(versions)
      expect(store:list()).same { "o" }
      local other, reason, number = objstore.open { directory = folder }
      expect(other).is_nil()
      expect(reason).equal("`" .. folder .. "` is in use")
      expect(number).equal(5)
      store:close()
    end
    os.execute = os.execute or function() end -- the sandbox has none, and a folder of its own
    os.execute("rm -r '" .. folder .. "'") -- splay: allow(blocks)
  end)
end)

describe("changes", function()
  it("make another store the same", function()
    local a, b = objstore.open(), objstore.open()
    local script = "function h(input) cls.map_set_val('k', input) return 3 end cls.register(h)"
    local ret, _, _, changes = a:exec("o", script, "h", "v", true)
    expect(ret).equal(3)
    expect(b:apply(changes)).equal("done")
    expect(b:apply(changes)).equal("known")
    expect(b:map_get_val("o", "k")).equal("v")
    expect(b:version("o")).equal(a:version("o"))
    -- What changes nothing ships nothing.
    expect((select(4, a:exec("o", "cls.stat()", "", "", true)))).is_nil()
    expect((select(4, a:exec("o", script, "h", "v")))).is_nil()
    local _, more = a:append("o", "x", true)
    local ok, reason, number, have = b:apply(more)
    expect(ok).is_nil()
    expect(reason).equal("changes of the object from version 1 to 2 are missing")
    expect(number).equal(116)
    expect(have).equal(1)
    expect(b:apply(a:whole("o"))).equal("done")
    expect(b:read("o")).equal("x")
    expect(b:versions()).same(a:versions())
    local _, removed = a:remove("o", true)
    expect(b:apply(removed)).equal("done")
    expect(b:list()).same {}
    expect({ b:apply("nonsense") }).same { nil, "no changes of an object: an unknown format", 22 }
  end)
end)

describe("over the network", function()
  it("everything is as at home", function()
    local store = objstore.open { classes = { c = "function f() return 5 end cls.register(f)" } }
    for port, rpc in pairs { [26901] = require "splay.rpc", [26902] = require "splay.rpcq" } do
      expect(objstore.serve(store, { port = port, rpc = rpc })).is_true()
      local far = objstore.connect({ ip = "127.0.0.1", port = port }, { rpc = rpc, timeout = 5 })
      local bytes = ("\0\255x"):rep(20000)
      expect(far:write_full("o", bytes)).is_true()
      expect(far:read("o") == bytes).is_true()
      expect(far:map_set_val("o", "k", "v")).is_true()
      expect(far:map_get_vals("o")).same { k = "v" }
      expect(far:list()).same { "o" }
      expect({ far:stat("none") }).same { nil, "No such file or directory", 2 }
      local script = "function h(i, o) cls.log('a') cls.log('b') o:append(i:str()) return 2 end "
        .. "cls.register(h)"
      local ret, output, log = far:exec("o", script, "h", "in")
      expect(ret).equal(2)
      expect(output).equal("in")
      expect(log).same { "a", "b" }
      expect(far:exec("o", "c", "f")).equal(5)
      local failed, _, why = far:exec("o", "x(", "h")
      expect(failed).equal(-5)
      expect(why.error).matches("^script:1: ")
      expect(far:install("d", "function g() return 6 end cls.register(g)")).is_true()
      expect(far:exec("o", "d", "g")).equal(6)
      expect(function() far:exec("o", 1, "h") end).errors("bad argument #2 to 'exec'")
      rpc.stop_server(port)
      far.timeout = 0.5
      expect(far:remove("o")).never.is_true()
      store:remove("o")
    end
    local nobody = objstore.connect({ ip = "127.0.0.1", port = 26903 })
    expect({ nobody:exec("o", "x = 1", "") }).same { nil, "connection refused" }
    expect({ nobody:read("o") }).same { nil, "connection refused" }
  end)

  it("a node without a store says so", function()
    local rpc = require "splay.rpc"
    rpc.server(26904)
    local far = objstore.connect({ ip = "127.0.0.1", port = 26904 }, { name = "elsewhere" })
    local ok, reason = far:read("o")
    expect(ok).is_nil()
    expect(type(reason)).equal("string")
    rpc.stop_server(26904)
  end)
end)

test.run()
