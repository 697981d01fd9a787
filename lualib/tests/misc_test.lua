-- Tests of splay.misc, on either side of its lazy half.
local misc = require "splay.misc"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local function count(values)
  local seen = {}
  for _, v in ipairs(values) do seen[v] = (seen[v] or 0) + 1 end
  return seen
end

describe("misc tables", function()
  it("dup copies deeply", function()
    local a = { s = "hello", inner = { 1, { 2 } } }
    local b = misc.dup(a)
    expect(b).same(a)
    b.s, b.inner[2][1] = "world", 3
    expect(a.s).equal("hello")
    expect(a.inner[2][1]).equal(2)
    expect(misc.dup(5)).equal(5)
    expect(misc.dup(nil)).is_nil()
  end)

  it("dup leaves metatables and keys alone, and copies shared tables apart", function()
    local key, shared = {}, { 1 }
    local a = setmetatable({ [key] = 1, x = shared, y = shared }, { __index = { z = 1 } })
    local b = misc.dup(a)
    expect(b[key]).equal(1)
    expect(getmetatable(b)).is_nil()
    expect(b.x).same({ 1 })
    expect(b.x == b.y).is_false()
    expect(b.x == shared).is_false()
  end)

  it("dup copies cycles", function()
    local a = { name = "a", list = {} }
    a.self, a.list[1] = a, a
    local b = misc.dup(a)
    expect(b.self == b).is_true()
    expect(b.list[1] == b).is_true()
    expect(b == a).is_false()
    local deep = {}
    for _ = 1, 1000 do deep = { deep } end
    expect(misc.dup(deep)).is_a("table")
  end)

  it("equal and equals compare by content", function()
    expect(misc.equal({ 1, { a = { 2 } } }, { 1, { a = { 2 } } })).is_true()
    expect(misc.equal({ 1, 2 }, { 1 })).is_false()
    expect(misc.equal({ 1 }, { 1, 2 })).is_false()
    expect(misc.equal({ a = 1 }, { a = "1" })).is_false()
    expect(misc.equal("x", "x")).is_true()
    expect(misc.equal({}, 1)).is_false()
    expect(misc.equals({ a = {} }, { a = {} })).is_true()
    local a, b = {}, {}
    a.me, b.me = a, b
    expect(misc.equal(a, b)).is_true()
    b.more = 1
    expect(misc.equal(a, b)).is_false()
  end)

  it("sizes", function()
    local a = { "a", "b", "c" }
    a[2] = nil
    expect(misc.size(a)).equal(2)
    expect(misc.isize(a)).equal(3)
    a.key, a.key2 = "val", "val2"
    expect(misc.size(a)).equal(4)
    expect(misc.isize(a)).equal(3)
    expect(misc.isize({ x = 1 })).equal(0)
    expect(misc.empty({})).is_true()
    expect(misc.empty({ x = false })).is_false()
  end)

  it("table_keyset lists the keys", function()
    local keys = misc.table_keyset({ a = 1, b = 2, [3] = 3 })
    expect(#keys).equal(3)
    expect(count(keys)).same({ a = 1, b = 1, [3] = 1 })
  end)

  it("merge", function()
    expect(misc.merge({ 1, 2 }, { 3 })).same({ 1, 2, 3 })
    expect(misc.merge({ 1 }, { 2 }, { 3 }, { 4 })).same({ 1, 2, 3, 4 })
    expect(misc.merge({ a = 1 }, { a = 2, b = 3 })).same({ a = 1, b = 3 })
    expect(misc.merge({ a = 1 }, { b = 2 }, { a = 9, c = 3 })).same({ a = 1, b = 2, c = 3 })
    expect(misc.merge({ 1, 2 }, { 7, 8, 9, x = 1 })).same({ 1, 2, 9, x = 1 })
    expect(misc.merge(nil, { 1 })).same({ 1 })
    expect(misc.merge()).same({})
    local one = { 1 }
    expect(misc.merge(one, {}) == one).is_false()
    expect(misc.merge({}, one) == one).is_false()
    expect(misc.merge(one) == one).is_false()
    expect(one).same({ 1 })
  end)

  it("table_concat appends copies of all values", function()
    local inner = { 1 }
    local all = misc.table_concat({ 0 }, { inner, x = 2 })
    expect(#all).equal(3)
    expect(all[2]).same({ 1 })
    expect(all[2] == inner).is_false()
    expect(all[3]).equal(2)
  end)

  it("set", function()
    local s = misc.set()
    s:insert("a")
    s:insert("b")
    s:insert("c")
    s:insert("a")
    expect(#s).equal(3)
    s:remove("a")
    s:remove("missing")
    expect(count(s)).same({ b = 1, c = 1 })
    s:push("k", 1)
    s:push("k", 2)
    expect(s:pop("k")).equal(1)
    expect(s:pop("k")).equal(2)
    expect(s:pop("k")).is_nil()
    expect(#s).equal(2)
  end)
end)

describe("misc choice", function()
  it("random_pick without n picks one", function()
    local list, seen = { "a", "b", "c" }, {}
    for _ = 1, 200 do
      local v = misc.random_pick(list)
      expect(list).contains(v)
      seen[v] = true
    end
    expect(misc.size(seen)).equal(3)
    expect(misc.random_pick({})).is_nil()
    expect(misc.random_pick_one({ 7 })).equal(7)
    expect(misc.random_pick_one({})).is_nil()
    expect(misc.random_peek_one({ 7 })).equal(7)
  end)

  it("random_pick with n picks different elements", function()
    local list = {}
    for i = 1, 20 do list[i] = i end
    for n = 0, 20 do
      local picked = misc.random_pick(list, n)
      expect(#picked).equal(n)
      for _, times in pairs(count(picked)) do expect(times).equal(1) end
    end
    expect(#misc.random_pick(list, 50)).equal(20)
    expect(misc.random_pick({}, 3)).same({})
    expect(misc.random_pick(list, -1)).same({})
    for i = 1, 20 do expect(list[i]).equal(i) end
  end)

  it("shuffle returns a new array of the same elements", function()
    local list = { 1, 2, 3, 4, 5, 6, 7, 8 }
    local moved = false
    for _ = 1, 20 do
      local s = misc.shuffle(list)
      moved = moved or not misc.equal(s, list)
      table.sort(s)
      expect(s).same(list)
    end
    expect(moved).is_true()
    local one = { 1 }
    expect(misc.shuffle(one) == one).is_false()
    expect(misc.shuffle({})).same({})
  end)

  it("random_string has the length and only letters and digits", function()
    expect(misc.random_string(12)).matches("^%w%w%w%w%w%w%w%w%w%w%w%w$")
    expect(misc.random_string(0)).equal("")
    expect(misc.random_string(20)).never.equal(misc.random_string(20))
  end)
end)

describe("misc time and rings", function()
  it("time and ctime agree", function()
    local sec, usec = misc.ctime()
    local t = misc.time()
    expect(sec % 1).equal(0)
    expect(usec).at_least(0)
    expect(usec).at_most(999999)
    expect(t - (sec + usec / 1e6)).near(0, 5)
  end)

  it("between_c is strict and circular", function()
    expect(misc.between_c(3, 2, 5)).is_true()
    expect(misc.between_c(2, 2, 5)).is_false()
    expect(misc.between_c(5, 2, 5)).is_false()
    expect(misc.between_c(1, 2, 5)).is_false()
    expect(misc.between_c(1, 250, 5)).is_true()
    expect(misc.between_c(251, 250, 5)).is_true()
    expect(misc.between_c(100, 250, 5)).is_false()
    expect(misc.between_c(250, 250, 5)).is_false()
    expect(misc.between_c(5, 3, 3)).is_false()
    expect(misc.between_c(3, 3, 3)).is_false()
  end)
end)

describe("misc text", function()
  it("split", function()
    expect(misc.split("a b  c")).same({ "a", "b", "c" })
    expect(misc.split("a--b-c", "-")).same({ "a", "b", "c" })
    expect(misc.split("a, b,,c", ", ")).same({ "a", "b", "c" })
    expect(misc.split("1%2%3", "%")).same({ "1", "2", "3" })
    expect(misc.split("a\tb c", "%s")).same({ "a", "b", "c" })
    expect(misc.split("1.2.3", ".")).same({ "1", "2", "3" })
    expect(misc.split("a^b", "^")).same({ "a", "b" })
    expect(misc.split("a]b", "]")).same({ "a", "b" })
    expect(misc.split("", " ")).same({})
    expect(misc.split("abc", "")).same({ "abc" })
  end)

  it("gen_string", function()
    expect(misc.gen_string(3)).equal("aaa")
    expect(misc.gen_string(2, "xy")).equal("xyxy")
    expect(misc.gen_string("xy", 2)).equal("xyxy")
    expect(misc.gen_string(0)).equal("")
  end)

  it("bytes and integers", function()
    expect(misc.hash_ascii_to_byte("414243")).equal("ABC")
    expect(misc.hash_ascii_to_byte("00ff")).equal("\0\255")
    expect(misc.to_int("\1\2")).equal(258)
    expect(misc.to_int("\255\255\255\255")).equal(4294967295)
    expect(misc.to_string(258)).equal("\0\0\1\2")
    expect(misc.to_string(258, 2)).equal("\1\2")
    expect(misc.to_int(misc.to_string(123456789))).equal(123456789)
  end)

  it("converts bases", function()
    expect(misc.convert_base(255)).equal("ff")
    expect(misc.convert_base("255")).equal("ff")
    expect(misc.convert_base("FF", 16, 2)).equal("11111111")
    expect(misc.convert_base("1010", 2, 10)).equal("10")
    expect(misc.convert_base("zz", 36, 10)).equal("1295")
    expect(misc.convert_base(0, 10, 2)).equal("0")
    expect(misc.convert_base("-255")).equal("-ff")
    expect(misc.convert_base("ffffffffffffffffffffffffffffffff", 16, 10))
      .equal("340282366920938463463374607431768211455")
    expect(misc.convert_base("340282366920938463463374607431768211455", 10, 16))
      .equal("ffffffffffffffffffffffffffffffff")
    expect(misc.dec_to_base(10, 2)).equal("1010")
    expect(misc.base_to_dec("ff", 16)).equal(255)
    expect(misc.base_to_dec("777", 8)).equal(511)
    local bad, reason = misc.convert_base("12", 2, 10)
    expect(bad).is_nil()
    expect(reason).equal("not a number in base 2: 12")
    expect((misc.convert_base("1.5"))).is_nil()
    expect(function() misc.convert_base("1", 1, 10) end).errors("base must be")
    expect(function() misc.convert_base("1", 10, 37) end).errors("base must be")
  end)

  it("to_dec_string writes no exponent", function()
    expect(misc.to_dec_string(3)).equal("3")
    expect(misc.to_dec_string(2 ^ 53)).equal("9007199254740992")
    expect(misc.to_dec_string(2 ^ 53 - 1)).equal("9007199254740991")
    expect(misc.to_dec_string(1e20)).equal("100000000000000000000")
    expect(misc.to_dec_string(3.7)).equal("3.7")
    expect(misc.to_dec_string(-2.5)).equal("-2.5")
    expect(misc.to_dec_string(1.5e-7)).equal("0.00000015")
    expect(misc.to_dec_string(-1e-5)).equal("-0.00001")
    for _, n in ipairs { 1 / 3, 123456.789, 2 ^ -30, 1e15 + 0.5 } do
      expect(tonumber(misc.to_dec_string(n))).equal(n)
    end
  end)

  it("stringify reads back", function()
    expect(misc.stringify("A\n")).equal('"\\065\\010"')
    local value = { 1, "two", { x = true, [4] = 0.5 }, ["a b"] = "\0\255" }
    local copy = loadstring("return " .. misc.stringify(value))()
    expect(copy).same(value)
    local inf = loadstring("return " .. misc.stringify(-math.huge))()
    expect(inf).equal(-math.huge)
    expect(function() misc.stringify(print) end).errors("cannot stringify")
    local cycle = {}
    cycle[1] = cycle
    expect(function() misc.stringify(cycle) end).errors("contains itself")
  end)

  it("bitcalc", function()
    local units = misc.bitcalc(1048576)
    expect(units.bytes).equal(1048576)
    expect(units.bits).equal(8388608)
    expect(units.megabytes).equal(1)
    expect(units.kilobits).equal(8192)
  end)
end)

-- What the calls below reach.
local reached = {}
reached_number = 5
reached_table = { 1, 2, key = "value", ["a b"] = { { deep = "x" } }, [-1] = "minus" }
function reached_function(...)
  reached = { n = select("#", ...), ... }
  return nil, "second", select("#", ...)
end
reached_table.func = function(a) return "func_call " .. tostring(a) end

describe("misc evaluation", function()
  it("call reads variables by path", function()
    expect(misc.call("reached_number")).same({ 5 })
    expect(misc.call({ "reached_number" })).same({ 5 })
    expect(misc.call("reached_table[2]")).same({ 2 })
    expect(misc.call("reached_table['key']")).same({ "value" })
    expect(misc.call('reached_table["key"]')).same({ "value" })
    expect(misc.call("reached_table.key")).same({ "value" })
    expect(misc.call(" reached_table [ 'a b' ] [ 1 ] . deep ")).same({ "x" })
    expect(misc.call("reached_table[-1]")).same({ "minus" })
    expect(misc.call("no_such_variable")).same({})
  end)

  it("call calls functions", function()
    expect(misc.call({ "math.max", 1, 5, 3 })).same({ 5 })
    expect(misc.call({ "reached_table.func", "hello" })).same({ "func_call hello" })
    expect(misc.call("reached_table.func")).same({ "func_call nil" })
  end)

  it("call keeps nil arguments and results in place", function()
    local r = misc.call({ "reached_function", 1, nil, 3 })
    expect(reached.n).equal(3)
    expect(reached[1]).equal(1)
    expect(reached[3]).equal(3)
    expect(r[1]).is_nil()
    expect(r[2]).equal("second")
    expect(r[3]).equal(3)
  end)

  it("call refuses what is no function or no name", function()
    local r, reason = misc.call({ "reached_number", 1 })
    expect(r).is_nil()
    expect(reason).equal("invalid function name: reached_number")
    for _, name in ipairs {
      "os.exit()", "1+2", "reached_table[", "reached_table['key", "a b", "", "f{}", "a..b", "a['x'",
      "a[b]", "'text'", "reached_table.key;", "a[1..2]",
    } do
      local value, why = misc.call(name)
      expect(value).is_nil()
      expect(why).equal("invalid function name: " .. name)
    end
  end)

  it("call passes errors through", function()
    expect(function() misc.call({ "error", "told you" }) end).errors("told you")
    expect(function() misc.call("no_such_variable.x") end).errors("attempt to index")
  end)

  it("path stays correct when its cache is emptied", function()
    for i = 1, 500 do
      reached_table["n" .. i] = i
      expect(misc.path("reached_table.n" .. i)).equal(i)
    end
    expect(misc.path("reached_table.n1")).equal(1)
  end)

  it("run runs source text", function()
    local a, b = misc.run("return 1 + 1, 'x'")
    expect(a).equal(2)
    expect(b).equal("x")
    local none, reason = misc.run("return +")
    expect(none).is_nil()
    expect(reason).is_a("string")
    none, reason = misc.run("error('oops')")
    expect(none).is_nil()
    expect(reason).matches("oops")
  end)
end)

describe("misc errors", function()
  it("try hands an exception to its handler", function()
    local caught
    local after = false
    misc.try(function()
      misc.throw("runtime", "division by 0")
      after = true
    end, {
      div_by_0 = function() caught = "wrong" end,
      runtime = function(value) caught = value end,
    })
    expect(caught).equal("division by 0")
    expect(after).is_false()
  end)

  it("try raises the rest again", function()
    expect(function() misc.try(function() error("plain") end, {}) end).errors("plain")
    local _, e = pcall(misc.try, function() misc.throw("other", 7) end, { runtime = print })
    expect(e.exception[1]).equal("other")
    expect(e.exception[2]).equal(7)
    expect(tostring(e)).equal("exception other: 7")
    expect(select("#", misc.try(function() return 1 end, {}))).equal(0)
  end)

  it("assert_function and assert_object raise what functions return", function()
    local f = misc.assert_function(function(ok) return ok, ok and 2 or "reason" end)
    local a, b = f(1)
    expect(a).equal(1)
    expect(b).equal(2)
    expect(function() f(nil) end).errors("reason")

    local object = { count = 0 }
    function object:add(n)
      if n < 0 then return nil, "negative" end
      self.count = self.count + n
      return self
    end
    local safe = misc.assert_object(object)
    safe:add(2):add(3)
    expect(safe.count).equal(5)
    expect(object.count).equal(5)
    safe.count = 1
    expect(object.count).equal(1)
    expect(function() safe:add(-1) end).errors("negative")
    expect(function() safe:add(1):add(-1) end).errors("negative")
  end)
end)

test.run()
