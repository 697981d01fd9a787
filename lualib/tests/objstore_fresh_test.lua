-- Nothing leaks from one handler to the next; what a handler may use is bounded, whatever it tries.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local objstore = require "splay.objstore"

local store = objstore.open { max_steps = 300000, max_memory = 4 * 2 ^ 20 }

-- The output of a handler with that body.
local function out(body, input)
  local script = "function handler(input, output) local function say(...) local t = {...} "
    .. "for i = 1, select('#', ...) do t[i] = tostring(t[i]) end output:append(table.concat(t, ' "
      .. "')) end "
    .. body .. "\nend cls.register(handler)"
  local ret, output, log = store:exec("o", script, "handler", input)
  return output, ret, log.error
end

local function ret(body)
  local _, value, why = out(body)
  return value, why
end

describe("a state", function()
  it("has few functions", function()
    local names = {}
    local listed = out([[
      local t = {}
      local function list(prefix, from)
        for name, value in pairs(from) do
          t[#t + 1] = prefix .. tostring(name)
          if type(value) == "table" and value ~= _G and value ~= cls then list(prefix .. name ..
            ".", value) end
        end
      end
      list("", _G)
      table.sort(t)
      output:append(table.concat(t, " "))
    ]])
    for name in listed:gmatch("%S+") do names[name] = true end
    for _, name in ipairs {
      "io", "os", "coroutine", "debug", "package", "require", "module", "xpcall", "loadfile",
        "dofile",
      "loadstring", "getfenv", "setfenv", "newproxy", "jit", "string.dump", "arg", "job",
        "events", "rpc",
    } do
      expect(names[name]).is_nil()
    end
    for _, name in ipairs {
      "assert", "error", "ipairs", "pairs", "next", "pcall", "load", "print", "select",
        "tonumber", "tostring",
      "type", "rawget", "rawset", "rawequal", "setmetatable", "getmetatable", "collectgarbage",
        "_G",
      "_VERSION", "string.format", "string.rep", "table.concat", "table.sort", "table.unpack",
        "math.floor",
      "math.random", "bit.band", "cls", "objclass", "bufferlist.new",
    } do
      expect(names[name]).is_true()
    end
  end)

  it("keeps no globals, fields, metatables, registrations", function()
    local spoil = [[
      leaked = 1 _G.leaked2 = 2
      cls.leaked, objclass.create = 3, function() end
      string.leaked = 4
      string.format = nil
      table.insert = print
      math.pi = 3
      bufferlist.new = nil
      getmetatable("").__index = function() return "stolen" end
      getmetatable("").leaked = 5
      getmetatable(input).__len = function() return 99 end
      getmetatable(input).__index.leaked = 6
      setmetatable(_G, { __index = function() return "everywhere" end })
      pcall, error, tostring = nil, nil, nil
      collectgarbage("stop")
      function other() end
      cls.register(other)
    ]]
    local probe = [[
      say(rawget(_G, "leaked"), rawget(_G, "leaked2"), cls.leaked, string.leaked,
        string.format("%d", 5), math.pi > 3.1, ("x").len ~= nil, getmetatable("").leaked, #input,
        input.leaked, getmetatable(_G), type(pcall), type(error), pcall(cls.create, true))
      local t = {} table.insert(t, 1) say(" ", #t, #bufferlist.new(), type(other))
    ]]
    store:remove("o")
    local before = out(probe, "12")
    expect(before).equal("nil nil nil nil 5 true true nil 2 nil nil function function true  1 0 "
      .. "nil")
    for _ = 1, 3 do
      store:remove("o")
      expect((ret(spoil))).equal(0)
      store:remove("o")
      expect(out(probe, "12")).equal(before)
    end
    local script = "function other() end function handler() end cls.register(handler)"
    expect(store:exec("o", script, "other")).equal(-5)
  end)

  it("keeps no upvalues and counts from one again", function()
    local script = "local count = 0 counter = 0 function h(_, output) count = count + 1 "
      .. "counter = counter + 1 output:append(count .. ' ' .. counter) end cls.register(h)"
    for _ = 1, 3 do
      local _, output = store:exec("o", script, "h")
      expect(output).equal("1 1")
    end
  end)

  it("is the same, address by address and number by number", function()
    local probe = [[
      local keys, t = {}, {}
      for i = 1, 20 do t[{}] = i t[function() return i end] = i end
      for _, v in pairs(t) do keys[#keys + 1] = v end
      say(tostring({}), tostring(print), tostring(input), math.random(), collectgarbage("count"),
        table.concat(keys, ","))
    ]]
    local first = out(probe, "x")
    for _ = 1, 20 do
      expect((ret("local t = {} for i = 1, 2000 do t[i] = { i, tostring(i) } end math.random() "
        .. "collectgarbage()"))).equal(0)
      ret("for i = 1, 1e9 do end")
      ret("error({})")
      expect(out(probe, "x")).equal(first)
    end
  end)

  it("leaves no memory behind", function()
    local function used() return tonumber((out "say(collectgarbage('count'))")) end
    local before = used()
    for _ = 1, 10 do
      expect((ret("local b = bufferlist.new() for _ = 1, 100 do b:append(('x'):rep(10000)) "
        .. "end"))).equal(0)
      expect((ret("t = {} while true do t[#t + 1] = {} end"))).at_most(-1)
    end
    expect(used()).equal(before)
  end)
end)

describe("the budget", function()
  local endless = {
    loop = "while true do end",
    recursion = "local function f() return f() end f()",
    deep = "local function f() return 1 + f() end while true do pcall(f) end",
    pcall = "while true do pcall(error) end",
    ["pcall of a loop"] = "while true do pcall(function() while true do end end) end",
    ["nested pcall"] = "local function f() pcall(f) f() end f() while true do end",
    goto_ = "::again:: goto again",
    find = "('a'):rep(60):find(('a*'):rep(30) .. 'b')",
    match = "('a'):rep(60):match(('a-'):rep(30) .. 'b')",
    gsub = "('a'):rep(60):gsub(('a*'):rep(30) .. 'b', '')",
    gmatch = "for _ in ('a'):rep(60):gmatch(('a*'):rep(30) .. 'b') do end",
    ["pcall of a pattern"] = "while true do pcall(string.find, ('a'):rep(60), ('a*'):rep(30) .. "
      .. "'b') end",
    balance = "('('):rep(100000):find('%b()')  while true do ('('):rep(100000):find('%b()') end",
    ["plain find"] = "local s = ('a'):rep(1e6) while true do s:find('b', 1, true) end",
    ["gsub callback"] = "('a'):gsub('a', function() while true do end end)",
    ["sort callback"] = "table.sort({ 3, 2, 1 }, function() while true do end end)",
    ["sort of many"] = "local t = {} for i = 1, 20000 do t[i] = i % 7 end while true do "
      .. "table.sort(t) end",
    metamethod = "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) "
      .. "while true do pcall(function() return t[1] end) end",
    tostring = "local t = setmetatable({}, { __tostring = function() while true do end end }) "
      .. "tostring(t)",
    load = "while true do load(function() while true do end end) end",
    ["load of much"] = "load(function() return 'x = 1 ' end)",
    ["insert in front"] = "local t = {} while true do table.insert(t, 1, 1) end",
    concat = "local t = {} for i = 1, 10000 do t[i] = '' end while true do table.concat(t) end",
    garbage = "while true do collectgarbage() end",
    strings = "local s = ('x'):rep(1e5) local i = 0 while true do i = i + 1 local t = s .. i end",
    upper = "local s = ('x'):rep(1e5) while true do s:upper() s:lower() s:reverse() end",
    bufferlists = "local b = bufferlist.new() b:append(('x'):rep(1e5)) while true do local c = b "
      .. ".. b end",
    ["bufferlists compared"] = "local b = bufferlist.new() b:append(('x'):rep(1e5)) "
      .. "local c = b .. bufferlist.new() while true do local x = b == c end",
    writing = "while true do cls.write_full(input) end",
    writes = "local b = bufferlist.new() b:append('x') local i = 0 "
      .. "while true do i = i + 1 cls.write(i, 1, b) end",
    catching = "while true do pcall(cls.getxattr, 'none') end",
    gc = "setmetatable({}, { __gc = function() while true do end end }) collectgarbage() while "
      .. "true do end",
  }
  for name, body in pairs(endless) do
    it("ends " .. name, function()
      local value = ret(body)
      -- Out of steps, or of memory where it uses that up before.
      expect(value == -62 or value == -12).is_true()
      expect((ret("return 3"))).equal(3)
    end)
  end

  local greedy = {
    table = "local t = {} while true do t[#t + 1] = #t end",
    ["pcall around"] = "local t = {} while true do pcall(function() while true do t[#t + 1] = {} "
      .. "end end) end",
    string = "local s = 'x' while true do s = s .. s end",
    rep = "return ('x'):rep(2^30)",
    ["rep in pcall"] = "pcall(string.rep, 'x', 2^30) return 0",
    format = "return ('%s'):rep(100):format(('x'):rep(1e6))",
    gsub = "return ('x'):rep(1e4):gsub('x', ('y'):rep(1e4))",
    bufferlist = "local b = bufferlist.new() b:append('x') while true do b = b .. b end",
    append = "local s = ('x'):rep(1e5) while true do output:append(s) end",
    log = "local s = ('x'):rep(1e5) while true do cls.log(s) end",
    print = "local s = ('x'):rep(1e5) while true do print(s) end",
  }
  for name, body in pairs(greedy) do
    it("bounds the memory of " .. name, function()
      local value = ret(body)
      expect(value == -12 or value == -62 or name == "format" and value == -5).is_true()
      expect((ret("return 3"))).equal(3)
    end)
  end

  it("undoes what was done before", function()
    store:write_full("kept", "before")
    local script = "function h(input) cls.write_full(input) pcall(function() while true do end "
      .. "end) end "
      .. "cls.register(h)"
    local value, _, log = store:exec("kept", script, "h", "after")
    expect(value).equal(-62)
    expect(log.error).equal("too many steps")
    expect(store:read("kept")).equal("before")
    script = "function h(input) cls.write_full(input) pcall(string.rep, 'x', 2^30) end "
      .. "cls.register(h)"
    value, _, log = store:exec("kept", script, "h", "after")
    expect(value).equal(-12)
    expect(log.error).equal("not enough memory")
    expect(store:read("kept")).equal("before")
  end)

  it("is each handler's own", function()
    for _ = 1, 20 do expect((ret("for i = 1, 50000 do end return 1"))).equal(1) end
  end)

  it("is what the store was opened with", function()
    local small = objstore.open { max_steps = 1000, max_memory = 100000 }
    local large = objstore.open { max_steps = 1e6 }
    local script = "for i = 1, 10000 do end"
    expect(small:exec("o", script, "")).equal(-62)
    expect(large:exec("o", script, "")).equal(0)
    script = "local s = ('x'):rep(200000)"
    expect(small:exec("o", script, "")).equal(-12)
    expect(large:exec("o", script, "")).equal(0)
    expect(function() objstore.open { max_memory = 2 ^ 40 } end).errors("max_memory")
    expect(function() objstore.open { max_steps = -1 } end).errors("max_steps")
    expect(function() objstore.open { compat = "2012" } end).errors("compat")
    expect(function() objstore.open { flush = "yes" } end).errors("flush")
  end)
end)

describe("strings", function()
  -- The matcher is not LuaJIT's: the same answers as outside.
  it("are matched as everywhere", function()
    local cases = {
      "('hello world'):find('o w')", "('hello'):find('l', 1, true)", "('a.b'):find('.', 2, true)",
      "('hello'):find('xyz')", "('hello'):find('', 10)", "('hello'):find('', 6)",
        "('hello'):find('l', -2)",
      "('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "('2026-11-24'):match('(%d+)-(%d+)-(%d+)')",
      "('abc'):match('()b()')", "('[[x]]'):match('%[%[(.-)%]%]')",
        "('THE (quick) fox'):find('%((%a+)%)')",
      "('hello world'):gsub('o', '0')", "('hello'):gsub('', '-')", "('abc'):gsub('%w', '%0%0')",
      "('abc'):gsub('(a)(b)', '%2%1')", "('hello world'):gsub('%w+', string.upper)",
      "('$a $b'):gsub('%$(%w+)', { a = '1' })", "('abc'):gsub('b', false and 1 or '%%')",
      "('aaa'):gsub('a', 'b', 2)", "('abc'):gsub('^a', 'x')", "('a,b,,c'):gsub(',', ';')",
      "('x'):rep(3, ',')", "('f(a(b)c)d'):match('%b()')",
        "('THE (quick) fox'):gsub('%f[%a]%a+', 'w')",
      "('a\\0b'):find('%z')", "('a]b'):find('[]]')", "('a-b'):gsub('[a-]', 'x')",
        "('x^y'):find('[%^x]')",
      "('0x1F'):match('%x+$')", "(' trim '):match('^%s*(.-)%s*$')", "('abab'):match('(ab)%1')",
      "pcall(string.find, 'a', '[a')", "pcall(string.find, 'a', '%')",
        "pcall(string.gsub, 'a', '(', '')",
      "pcall(string.gsub, 'a', 'a', true)", "pcall(string.rep)", "('abc'):gsub('b', '%9')" and "1",
    }
    for _, case in ipairs(cases) do
      local here = { pcall(assert(loadstring("return " .. case))) }
      local inside = out("local t = { " .. case .. " } for i = 1, 6 do t[i] = tostring(t[i]) end "
        .. "say(table.concat(t, '|', 1, 6))")
      for i = 1, 6 do here[i] = tostring(here[i + 1]) end
      local outside = table.concat(here, "|", 1, 6)
      if not case:find("^pcall") then
        expect(inside).equal(outside)
      else
        expect(inside:match("^false|")).equal(outside:match("^false|"))
      end
    end
    expect(out("for w, n in ('a=1, b=2'):gmatch('(%w)=(%d)') do say(w, n, '') end")).equal("a 1 "
      .. "b 2 ")
    expect(out("for w in ('abc'):gmatch('') do say('x') end")).equal("xxxx")
  end)
end)

test.run()
