-- What comes of a handler: return values, logs, bufferlists, the answers of dispatch, classes.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local objstore = require "splay.objstore"
local errno = require "splay.errno"
local handler = require "objstore_handler"
local store, new, run, ret = handler.store, handler.new, handler.run, handler.ret
local told, helpers = handler.told, handler.helpers

describe("return values", function()
  local function value(what) return (ret(new(), "cls.create() return " .. what)) end

  it("decide what becomes of the transaction", function()
    for _, case in ipairs {
      { "", 0 }, { "0", 0 }, { "5", 5 }, { "-5", -5 }, { "-5, 3", 3 }, { "3, -5", -5 }, { "'1'",
        1 },
      { "'-1'", -1 }, { "1.0", 1 }, { "nil", -5 }, { "true", -5 }, { "{}", -5 }, { "'asdf'", -5 },
      { "1.5", -5 }, { "2^40", 0 }, { "2^31", -2 ^ 31 }, { "-2^31", -2 ^ 31 }, { "2^31 - 1",
        2 ^ 31 - 1 },
      { "1/0", -5 }, { "0/0", -5 }, { "2^63", -5 }, { "1, nil", -5 }, { "bufferlist.new()", -5 },
    } do
      expect(value(case[1])).equal(case[2])
    end
  end)

  it("below zero undo everything", function()
    local o = new()
    store:write_full(o, "before")
    local all = helpers .. "cls.write_full(bl('x')) cls.setxattr('a', bl('b')) "
      .. "cls.map_set_val('k', bl('v')) cls.map_write_header(bl('h')) "
    for _, ending in ipairs { "return -5", "error('x')", "cls.create(true)", "return 1.5" } do
      expect(ret(o, all .. ending)).at_most(-1)
      expect(store:read(o)).equal("before")
      expect(store:getxattrs(o)).same {}
      expect(store:map_get_keys(o)).same {}
    end
    expect(ret(o, all .. "return 5")).equal(5)
    expect(store:read(o)).equal("x")
    expect(store:map_get_keys(o)).same { "k" }
  end)

  it("come with what was put out", function()
    local value_, output, log = run("o", "output:append('some') cls.log('line') return -3")
    expect(value_).equal(-3)
    expect(output).equal("some")
    expect(log[1]).equal("line")
    value_, output = run("o", "output:append('some') cls.create() return 3")
    expect(value_).equal(3)
    expect(output).equal("some")
  end)
end)

describe("log", function()
  local lines = {}
  local logged = objstore.open {
    log_level = 100, log = function(level, line) lines[#lines + 1] = level .. ":" .. line end,
  }
  local function log(arguments)
    local script = "function h(_, output) output:append(tostring(cls.log(" .. arguments
      .. "))) end cls.register(h)"
    lines = {}
    local _, output, trace = logged:exec("o", script, "h")
    expect(#trace).equal(#lines)
    return lines[1], output, trace[1]
  end

  it("joins what it is given, and knows levels", function()
    for _, case in ipairs {
      { "'hi'", "10:hi" }, { "0, 'ouch'", "0:ouch" }, { "'foo', 'bar'", "10:foo bar" }, { "1",
        "10:1" },
      { "-3, 'x'", "10:-3 x" }, { "'2', 'x'", "2:x" }, { "5, 6", "5:6" }, { "3, nil", "3:nil" },
      { "nil", "10:nil" }, { "true, false", "10:true false" }, { "{}", "10:table" },
      { "print", "10:function" }, { "bufferlist.new()", "10:userdata" }, { "'a', 1, 2.5",
        "10:a 1 2.5" },
    } do
      local line, output, trace = log(case[1])
      expect(line).equal(case[2])
      expect(output).equal((case[2]:gsub("^%d+:", "")))
      expect(trace).equal(output)
    end
  end)

  it("logs nothing of nothing", function()
    expect(log("")).is_nil()
  end)

  it("is told in order, also of what fails, and of print", function()
    local _, _, trace = run(new(), "cls.log(1, 'a') print('b', nil, 2) cls.log('c') cls.stat()")
    expect(trace).same { "a", "b\tnil\t2", "c", error = "No such file or directory" }
  end)

  it("goes to the host's log up to a level", function()
    local quiet = {}
    local s = objstore.open { log = function(level, line, oid) quiet[#quiet + 1] = { level,
      line, oid } end }
    s:exec("o", "cls.log(0, 'loud') cls.log(1, 'soft') cls.log('x')", "")
    expect(quiet).same { { 0, "loud", "o" } }
  end)
end)

describe("bufferlist", function()
  it("holds bytes", function()
    expect(told("o", "local b = bufferlist.new() say(#b, b:length(), b) b:append('a\\0b') "
      .. "b:append('') "
      .. "b:append('c') say('', #b, b:length(), b)")).equal("0|0||4|4|a\0bc")
  end)

  it("is compared by its bytes", function()
    expect(told("o", "say(bl('a') == bl('a'), bl('a') == bl('b'), bl('a') ~= bl('aa'), bl('a') "
      .. "== 'a')"))
      .equal("true|false|true|false")
    expect(told("o", "say(bl('a') < bl('b'), bl('b') < bl('a'), bl('a') <= bl('a'), bl('') < "
      .. "bl('\\0'), "
      .. "bl('a') > bl('B'))")).equal("true|false|true|true|true")
  end)

  it("is joined into a new one", function()
    expect(told("o", "local a, b = bl('1'), bl('2') local c = a .. b a:append('x') say(a, b, c)"))
      .equal("1x|2|12")
    expect(told("o", "local a = bl('12') a = a .. a say(a .. a)")).equal("12121212")
    for _, wrong in ipairs { "bl('a') .. 'b'", "'a' .. bl('b')", "bl('a') .. 1" } do
      expect(ret("o", helpers .. "local x = " .. wrong)).equal(-5)
    end
  end)

  it("takes strings alone", function()
    for _, wrong in ipairs { "1", "nil", "bl('a')", "true", "" } do
      expect(ret("o", helpers .. "bufferlist.new():append(" .. wrong .. ")")).equal(-5)
    end
    expect(ret("o", "output.str()")).equal(-5)
    expect(ret("o", "output.str({})")).equal(-5)
  end)

  it("shows itself", function()
    expect(told("o", "say(tostring(input))")).matches("^ClsLua%.Bufferlist: 0x%x+$")
  end)

  it("grows far", function()
    expect(told("o", "local b = bl('x') for _ = 1, 20 do b = b .. b end say(#b)")).equal("1048576")
    expect(told("o", "local s = ('x'):rep(1000) for _ = 1, 5000 do output:append(s) end")).equal(
      ("x"):rep(5000000))
  end)
end)

describe("dispatch", function()
  it("answers what does not run", function()
    expect(store:exec("o", "function", "f")).equal(-5)
    expect(store:exec("o", "error('top')", "f")).equal(-5)
    expect(store:exec("o", "cls.map_get_val('no')", "f")).equal(-5)
    expect(store:exec("o", "x = 1", "")).equal(0)
    expect(store:exec("o", "", "")).equal(0)
    expect(store:exec("o", "", "f")).equal(-95)
    expect(store:exec("o", "x = 1", "x")).equal(-95)
    expect(store:exec("o", "local function f() end", "f")).equal(-95)
    expect(store:exec("o", "\27LJ", "f")).equal(-5)
  end)

  it("answers what is not registered", function()
    local value, _, log = store:exec("o", "function f() end", "f")
    expect(value).equal(-5)
    expect(log.error).equal("Handler is not registered")
    local old = objstore.open { compat = "2013" }
    expect(old:exec("o", "function f() end", "f")).equal(-95)
    expect(old:exec("o", "function f() end cls.register(f)", "f")).equal(0)
    old:create("o")
    expect(old:exec("o", "function f() cls.create(true) end cls.register(f)", "f")).equal(-17)
  end)

  it("commits what a script alone does", function()
    local o = new()
    expect(store:exec(o, "cls.create(true)", "")).equal(0)
    expect(store:stat(o)).equal(0)
    expect(store:exec(o, "cls.remove() error('no')", "")).equal(-5)
    expect(store:stat(o)).equal(0)
  end)

  it("wants strings", function()
    expect(function() store:exec("o", 1, "f") end).errors(
      "bad argument #2 to 'exec' %(string expected, got number%)")
    expect(function() store:exec("o", "x = 1") end).errors(
      "bad argument #3 to 'exec' %(string expected, got no value%)")
    expect(function() store:exec("o", "x = 1", "f", {}) end).errors(
      "bad argument #4 to 'exec' %(string expected, got table%)")
  end)
end)

describe("classes", function()
  it("are installed once and called by name", function()
    local o = new()
    local script = "function read(input, output) output:append('got ' .. input:str()) return 4 end "
      .. "function hidden() end cls.register(read)"
    expect(store:install("my-class", script)).is_true()
    expect(store:classes()).same { "my-class" }
    local value, output = store:exec(o, "my-class", "read", "it")
    expect(value).equal(4)
    expect(output).equal("got it")
    expect(store:exec(o, "my-class", "hidden")).equal(-95)
    expect(store:exec(o, "my-class", "missing")).equal(-95)
    local unknown, _, log = store:exec(o, "other", "read")
    expect(unknown).equal(-95)
    expect(log.error).equal("no class `other`")
    expect(store:install("my-class", nil)).is_true()
    expect(store:install("my-class", nil)).is_false()
    expect(store:exec(o, "my-class", "read")).equal(-95)
  end)

  it("must be Lua and have a name", function()
    local ok, reason, number = store:install("bad", "function")
    expect(ok).is_nil()
    expect(reason).matches("^bad:1: ")
    expect(number).equal(errno.EINVAL)
    for _, name in ipairs { "lua", "", "a b", "1st", "return" } do
      expect((store:install(name, ""))).is_nil()
    end
    local opened, why = objstore.open { classes = { bad = "x x" } }
    expect(opened).is_nil()
    expect(why).matches("^bad:1: ")
  end)

  it("come with the store", function()
    local s = objstore.open { classes = { one = "function f() return 1 end cls.register(f)" } }
    expect(s:exec("o", "one", "f")).equal(1)
  end)
end)

describe("the class lua", function()
  local script = "function echo(input, output) output:append(input:str()) return #input end "
    .. "cls.register(echo)"

  it("evaluates JSON", function()
    local function eval(json) return store:exec("o", "lua", "eval_json", json) end
    local quoted = require("cjson").encode(script)
    local value, output = eval('{"script": ' .. quoted .. ', "handler": "echo", "input": "text"}')
    expect(value).equal(4)
    expect(output).equal("text")
    expect(eval('{"script": ' .. quoted .. ', "handler": "echo",}')).equal(0)
    expect(eval('{"script": "", "handler": ""}')).equal(0)
    for _, wrong in ipairs {
      "", "nonsense", "[]", '"text"', '{"handler": "h"}', '{"script": ""}',
        '{"script": 1, "handler": ""}',
      '{"script": "", "handler": 1}', '{"script": "", "handler": "", "input": 1}',
    } do
      expect(eval(wrong)).equal(-22)
    end
  end)

  it("evaluates bufferlists", function()
    local function eval(bytes) return store:exec("o", "lua", "eval_bufferlist", bytes) end
    local bytes = objstore.encode_bufferlist(script, "echo", "\0\255")
    expect(bytes:sub(1, 2)).equal("\1\1")
    local value, output = eval(bytes)
    expect(value).equal(2)
    expect(output).equal("\0\255")
    expect(eval(bytes:sub(1, -2))).equal(-22)
    expect(eval("")).equal(-22)
    expect(eval("{}")).equal(-22)
  end)

  it("has no other methods", function()
    expect(store:exec("o", "lua", "eval", "")).equal(-95)
  end)
end)

test.run()
