-- What handlers can call: every function with its errors, `pcall`, reads of what was written.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local objstore = require "splay.objstore"
local errno = require "splay.errno"
local handler = require "objstore_handler"
local store, new, run, ret = handler.store, handler.new, handler.run, handler.ret
local told, helpers = handler.told, handler.helpers

describe("objclass and cls", function()
  it("are the same table, with all functions and constants", function()
    local names = "register log create remove stat read write write_full getxattr getxattrs "
      .. "setxattr "
      .. "map_get_val map_set_val map_set_vals map_get_keys map_get_vals map_remove_key map_clear "
      .. "map_read_header map_write_header current_version current_subop_num current_subop_version"
    for name in names:gmatch("%S+") do
      expect(told("o", "say(type(cls." .. name .. "), cls == objclass)")).equal("function|true")
    end
    local constants = "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM "
      .. "EACCES EFAULT EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY EFBIG "
      .. "ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE ENOTBLK ETXTBSY ENODATA EOPNOTSUPP"
    for name in constants:gmatch("%S+") do
      expect(told("o", "say(cls." .. name .. ")")).equal(tostring(errno[name]))
    end
    expect(told("o", "say(cls.ENOTSUPP)")).equal("95")
  end)
end)

describe("register", function()
  it("wants a function, once", function()
    expect(store:exec("o", "cls.register(nil)", "")).equal(-5)
    expect(store:exec("o", "cls.register()", "")).equal(-5)
    expect(store:exec("o", "cls.register('f')", "")).equal(-5)
    expect(store:exec("o", "cls.register(undefined) function undefined() end", "")).equal(-5)
    local value, _, log = store:exec("o", "function f() end cls.register(f) cls.register(f)", "f")
    expect(value).equal(-5)
    expect(log.error).matches("Cannot register handler more than once")
  end)

  it("works under either name, for several functions", function()
    local script = "function a() return 1 end function b() return 2 end "
      .. "cls.register(a) objclass.register(b)"
    expect(store:exec("o", script, "a")).equal(1)
    expect(store:exec("o", script, "b")).equal(2)
  end)
end)

describe("create and remove", function()
  it("make an object and take it away", function()
    local o = new()
    expect(ret(o, "cls.create()")).equal(0)
    expect(store:read(o)).equal("")
    expect(ret(o, "cls.create() cls.create(false) cls.create(nil)")).equal(0)
    expect(ret(o, "cls.create(true)")).equal(-17)
    expect(ret(o, "cls.create(0)")).equal(-17)
    expect(ret(o, "cls.remove()")).equal(0)
    expect(store:stat(o)).is_nil()
    expect(ret(o, "cls.remove()")).equal(-2)
    expect(ret(o, "cls.create(true)")).equal(0)
  end)

  it("hold within the handler", function()
    local o = new()
    store:write_full(o, "text")
    store:setxattr(o, "x", "y")
    store:map_set_val(o, "k", "v")
    store:map_write_header(o, "h")
    expect(told(o, "cls.remove() say(pcall(cls.stat))")).equal("false|-2|No such file or directory")
    store:write_full(o, "text")
    store:setxattr(o, "x", "y")
    store:map_set_val(o, "k", "v")
    expect(told(o, [[
      cls.remove() cls.create(true)
      say(cls.stat(), #cls.read(0, 0), next(cls.getxattrs()), next(cls.map_get_keys("", 9)))
    ]])).equal("0|0|nil|nil")
    expect(store:map_read_header(o)).equal("")
  end)
end)

describe("stat", function()
  it("gives size and time", function()
    local o = new()
    store:write_full(o, "12345")
    local size, mtime = told(o, "say(cls.stat())"):match("^(%d+)|(%d+)$")
    expect(size).equal("5")
    expect(math.abs(tonumber(mtime) - os.time())).at_most(2)
    expect(select(2, store:stat(o))).equal(tonumber(mtime))
    expect(ret(new(), "cls.stat()")).equal(-2)
  end)
end)

describe("read", function()
  it("is short at the end", function()
    local o = new()
    store:write_full(o, "0123456789")
    expect(told(o, "say(cls.read(0, 0), cls.read(2, 3), cls.read(8, 10), cls.read(10, 1), "
      .. "cls.read(99, 1), cls.read(4, 0), cls.read(99, 0))")).equal("0123456789|234|89|||456789|")
  end)

  it("fails without an object, but for everything of nothing", function()
    expect(ret(new(), "cls.read(0, 1)")).equal(-2)
    expect(told(new(), "say(#cls.read(0, 0))")).equal("0")
  end)

  it("wants whole numbers that are not negative", function()
    local o = new()
    store:write_full(o, "text")
    local value, _, log = run(o, "cls.read(0.5, 1)")
    expect(value).equal(-5)
    expect(log.error).matches("number has no integer representation")
    expect(ret(o, "cls.read(0)")).equal(-5)
    expect(ret(o, "cls.read('x', 1)")).equal(-5)
    expect(told(o, "say(cls.read('1', '2'))")).equal("ex")
    expect(ret(o, "cls.read(-1, 1)")).equal(-22)
    expect(ret(o, "cls.read(0, -1)")).equal(-22)
    expect(told(o, "say(#cls.read(2^40, 1), #cls.read(0, 2^40))")).equal("0|4")
  end)
end)

describe("write", function()
  it("makes the object and fills a gap with zeroes", function()
    local o = new()
    expect(ret(o, helpers .. "cls.write(2, 3, bl('abc'))")).equal(0)
    expect(store:read(o)).equal("\0\0abc")
    expect(ret(o, helpers .. "cls.write(0, 1, bl('x'))")).equal(0)
    expect(store:read(o)).equal("x\0abc")
    expect(ret(o, helpers .. "cls.write(4, 4, bl('1234'))")).equal(0)
    expect(store:read(o)).equal("x\0ab1234")
  end)

  it("wants the length of the bufferlist", function()
    expect(ret(new(), helpers .. "cls.write(0, 2, bl('abc'))")).equal(-22)
    expect(ret(new(), helpers .. "cls.write(0, 4, bl('abc'))")).equal(-22)
    expect(ret(new(), helpers .. "cls.write(-1, 3, bl('abc'))")).equal(-27)
    expect(ret(new(), helpers .. "cls.write(2^40, 3, bl('abc'))")).equal(-27)
    expect(ret(new(), helpers .. "cls.write(0.5, 3, bl('abc'))")).equal(-5)
    local value, _, log = run(new(), "cls.write(0, 3, 'abc')")
    expect(value).equal(-5)
    expect(log.error).matches("ClsLua.Bufferlist expected, got string")
  end)

  it("takes no more than an object may have", function()
    local small = objstore.open { max_object_bytes = 10, max_bytes = 1000 }
    local script = "function w(input) cls.write(tonumber(input:str()), 4, input .. "
      .. "bufferlist.new()) end"
    script = script:gsub("4, input .. bufferlist.new%(%)", "#input, input") .. " cls.register(w)"
    expect(small:exec("o", script, "w", "0006")).equal(0)
    expect(small:exec("o", script, "w", "0007")).equal(-27)
    local full = "function f(input) cls.setxattr('x', input) end cls.register(f)"
    expect(small:exec("o", full, "f", ("x"):rep(2000))).equal(-28)
    expect(small:exec("o", full, "f", ("x"):rep(500))).equal(0)
  end)
end)

describe("write_full", function()
  it("replaces all data", function()
    local o = new()
    expect(ret(o, helpers .. "cls.write_full(bl('long text'))")).equal(0)
    expect(ret(o, helpers .. "cls.write_full(bl('short'))")).equal(0)
    expect(store:read(o)).equal("short")
    expect(ret(o, "cls.write_full(bufferlist.new())")).equal(0)
    expect(store:read(o)).equal("")
    expect(ret(o, "cls.write_full('text')")).equal(-5)
  end)
end)

describe("getxattr, setxattr, getxattrs", function()
  it("know attributes", function()
    local o = new()
    expect(ret(o, "cls.getxattr('a')")).equal(-2)
    expect(ret(o, "cls.getxattrs()")).equal(-2)
    expect(told(o, "say(cls.setxattr('a', bl('1')))")).equal("1")
    expect(store:getxattr(o, "a")).equal("1")
    expect(ret(o, "cls.getxattr('b')")).equal(-61)
    expect(told(o, "cls.setxattr('b', bl('2')) say(cls.getxattr('a'), "
      .. "cls.getxattr('b'))")).equal("1|2")
    expect(told(o, "local all = cls.getxattrs() say(all.a, all.b, all.c)")).equal("1|2|nil")
    expect(ret(o, "cls.setxattr('c', 'text')")).equal(-5)
    expect(ret(o, "cls.setxattr('c')")).equal(-5)
    expect(ret(o, "cls.getxattr()")).equal(-5)
  end)
end)

describe("the map", function()
  it("has values by key", function()
    local o = new()
    expect(ret(o, "cls.map_get_val('k')")).equal(-2)
    expect(ret(o, helpers .. "cls.map_set_val('k', bl('v'))")).equal(0)
    expect(told(o, "say(cls.map_get_val('k'))")).equal("v")
    expect(ret(o, "cls.map_get_val('other')")).equal(-2)
    expect(ret(o, "cls.map_set_val('k', 'text')")).equal(-5)
    expect(ret(o, helpers .. "cls.map_set_val(nil, bl('v'))")).equal(-5)
    expect(told(o, "cls.map_set_val('', bl('empty')) say(cls.map_get_val(''))")).equal("empty")
  end)

  it("takes several values as strings", function()
    local o = new()
    expect(ret(o, "cls.map_set_vals{ a = '1', b = '2', [3] = 'three' }")).equal(0)
    expect(store:map_get_vals(o)).same { a = "1", b = "2", ["3"] = "three" }
    local wrong = {
      ["{ [true] = 'x' }"] = "map_set_vals: invalid key type (boolean)",
      ["{ a = 1 }"] = "map_set_vals: invalid val type (number) for key (a)",
      ["{ a = {} }"] = "map_set_vals: invalid val type (table) for key (a)",
      ["{ a = bufferlist.new() }"] = "map_set_vals: invalid val type (userdata) for key (a)",
      ["{ a = true }"] = "map_set_vals: invalid val type (boolean) for key (a)",
    }
    for entries, message in pairs(wrong) do
      local value, _, log = run(o, "cls.map_set_vals(" .. entries .. ")")
      expect(value).equal(-22)
      expect(log.error).equal(message)
    end
    expect(told(o, "say(pcall(cls.map_set_vals, { a = 1 }))"))
      .equal("false|-22|map_set_vals: invalid val type (number) for key (a)")
    expect(ret(o, "cls.map_set_vals('a')")).equal(-5)
  end)

  it("gives keys in pages", function()
    local o = new()
    for _, key in ipairs { "a", "b", "b/1", "b/2", "c", "\255", "B" } do store:map_set_val(o,
      key, key) end
    local function keys(call)
      return told(o, "local t = {} for k, v in pairs(" .. call
        .. ") do t[#t + 1] = k .. (v == true and '' or '=' .. v:str()) end table.sort(t) "
        .. "say(table.concat(t, ' '))")
    end
    expect(keys "cls.map_get_keys('', 100)").equal("B a b b/1 b/2 c \255")
    expect(keys "cls.map_get_keys('', 2)").equal("B a")
    expect(keys "cls.map_get_keys('b', 2)").equal("b/1 b/2")
    expect(keys "cls.map_get_keys('b/2', 9)").equal("c \255")
    expect(keys "cls.map_get_keys('', 0)").equal("")
    expect(keys "cls.map_get_keys('', -1)").equal("B a b b/1 b/2 c \255")
    expect(keys "cls.map_get_vals('', 'b/', 9)").equal("b/1=b/1 b/2=b/2")
    expect(keys "cls.map_get_vals('b/1', 'b', 9)").equal("b/2=b/2")
    expect(keys "cls.map_get_vals('', '', 1)").equal("B=B")
    expect(keys "cls.map_get_vals('c', 'b', 9)").equal("")
    o = new()
    expect(keys "cls.map_get_keys('', 9)").equal("")
    expect(keys "cls.map_get_vals('', '', 9)").equal("")
    expect(ret(o, "cls.map_get_keys('')")).equal(-5)
    expect(ret(o, "cls.map_get_vals('', '')")).equal(-5)
  end)

  it("loses keys", function()
    local o = new()
    expect(ret(o, "cls.map_remove_key('a')")).equal(-2)
    expect(ret(o, "cls.map_clear()")).equal(-2)
    store:map_set_val(o, "a", "1")
    store:map_set_val(o, "b", "2")
    expect(ret(o, "cls.map_remove_key('a') cls.map_remove_key('never')")).equal(0)
    expect(store:map_get_keys(o)).same { "b" }
    expect(ret(o, "cls.map_clear()")).equal(0)
    expect(store:map_get_keys(o)).same {}
    expect(store:stat(o)).equal(0)
  end)

  it("has a header", function()
    local o = new()
    expect(told(o, "say(#cls.map_read_header())")).equal("0")
    expect(ret(o, helpers .. "cls.map_write_header(bl('head'))")).equal(0)
    expect(told(o, "say(cls.map_read_header())")).equal("head")
    expect(ret(o, "cls.map_clear()")).equal(0)
    expect(store:map_read_header(o)).equal("head")
    expect(ret(o, "cls.map_write_header('text')")).equal(-5)
  end)
end)

describe("versions", function()
  it("grow with every change", function()
    local o = new()
    expect(told(o, "say(cls.current_version(), cls.current_subop_num(), "
      .. "cls.current_subop_version())"))
      .equal("0|0|0.0")
    store:create(o)
    local first = store:version(o)
    expect(told(o, "say(cls.current_version())")).equal(tostring(first))
    -- What only reads, and what fails, changes nothing.
    ret(o, "cls.stat()")
    ret(o, helpers .. "cls.write_full(bl('x')) return -1")
    expect(store:version(o)).equal(first)
    ret(o, helpers .. "cls.write_full(bl('x'))")
    expect(store:version(o)).at_least(first + 1)
    local last = store:version(o)
    expect(told(o, "say(cls.current_subop_version())")).equal(last .. ".0")
    store:remove(o)
    expect(store:version(o)).at_least(last + 1)
  end)
end)

describe("reads in a handler", function()
  -- Where RADOS, which queues what a handler writes, answers with an error or worse.
  it("see data written to a new object", function()
    expect(told(new(), "cls.write(0, 2, bl('ab')) say(cls.read(0, 0))")).equal("ab")
  end)
  it("see values of the map", function()
    expect(told(new(), "cls.map_set_val('foo', input) say(cls.map_get_val('foo') == input)", "in"))
      .equal("true")
  end)
  it("see attributes", function()
    expect(told(new(), "cls.setxattr('a', bl('b')) say(cls.getxattr('a'))")).equal("b")
  end)
  it("see the new size", function()
    expect(told(new(), "cls.write(0, 3, bl('abc')) say((cls.stat()))")).equal("3")
  end)
  it("see that the object is gone", function()
    local o = new()
    store:create(o)
    expect(told(o, "cls.remove() say(pcall(cls.stat))")).equal("false|-2|No such file or directory")
  end)
  it("see what was written over an object, all of it", function()
    local o = new()
    store:write_full(o, "0123456789")
    expect(told(o, "cls.write(3, 2, bl('xx')) say(cls.read(0, 0))")).equal("012xx56789")
    expect(store:read(o)).equal("012xx56789")
  end)
end)

describe("pcall", function()
  it("gives the number of a call that failed", function()
    local o = new()
    store:create(o)
    expect(told(o, "say(pcall(cls.create, true))")).equal("false|-17|File exists")
    expect(told(o, "local ok, r = pcall(cls.create, true) say(r == -cls.EEXIST)")).equal("true")
    expect(told(o, "say(pcall(cls.getxattr, 'no'))")).equal("false|-61|No data available")
    expect(told(o, "say(pcall(function() cls.map_get_val('no') end))"))
      .equal("false|-2|No such file or directory")
  end)

  it("gives the message of other errors", function()
    expect(told("o", "say(pcall(error, 'boo'))")).equal("false|boo")
    expect(told("o", "say(select('#', pcall(error, 'boo')))")).equal("2")
    expect(told("o", "local e = {} say(select(2, pcall(error, e)) == e)")).equal("true")
    expect(told("o", "say(pcall(cls.read, 0.5, 1))")).matches("no integer representation")
    expect(told("o", "say(pcall())")).equal("")
  end)

  it("gives results", function()
    expect(told("o", "say(pcall(function(...) return ... end, 1, nil, 3))")).equal("true|1|nil|3")
  end)

  it("catches several, one after the other, and forgets them", function()
    local o = new()
    store:create(o)
    local body = "pcall(cls.create, true) pcall(cls.getxattr, 'no') "
    expect(ret(o, body)).equal(0)
    expect(ret(o, body .. "error('own')")).equal(-5)
    expect(ret(o, body .. "cls.map_get_val('no')")).equal(-2)
    expect(ret(o, "local ok, n, m = pcall(cls.create, true) error(m)")).equal(-5)
    expect(told(o, "load(function() cls.create(true) end) say(pcall(error, 'x'))")).equal("false|x")
  end)
end)

test.run()
