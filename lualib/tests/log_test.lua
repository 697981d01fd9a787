-- Tests of splay.log and of the file destination of splay.out.
local log = require "splay.log"
local out = require "splay.out"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local lines
local standard_out = log.global_out
local function capture(line) lines[#lines + 1] = line end

test.before_each(function()
  lines = {}
  log.global_out, log.global_level = capture, 3
end)
test.after_each(function() log.global_out, log.global_level = standard_out, 3 end)

describe("log", function()
  it("labels levels", function()
    log.global_level = 1
    expect(log:debug("a")).is_true()
    log:notice("a")
    log:warning("a")
    log:error("a")
    log:print("a")
    expect(lines).same({ "D: a", "N: a", "W: a", "E: a", "a" })
  end)

  it("has short names", function()
    log.global_level = 1
    local names = { "d", "n", "i", "info", "w", "warn", "e", "p" }
    for _, name in ipairs(names) do log[name](log, name) end
    expect(lines).same({ "D: d", "N: n", "N: i", "N: info", "W: w", "W: warn", "E: e", "p" })
  end)

  it("drops what is below the level", function()
    expect(log:notice("quiet")).is_false()
    expect(log:warn("loud")).is_true()
    expect(lines).same({ "W: loud" })
  end)

  it("joins values with four blanks, nil included", function()
    log:print("a", nil, 3, false, nil)
    log:print()
    log:error()
    expect(lines).same({ "a    nil    3    false    nil", "", "E: " })
  end)

  it("puts the prefix before the label", function()
    local l_o = log.new(3, "[splay.rpc]")
    l_o:warn("text", "arg2")
    l_o:print("plain")
    expect(lines).same({ "[splay.rpc] W: text    arg2", "[splay.rpc] plain" })
  end)

  it("asks the object's level first, then the global one", function()
    local own, none = log.new(2, "own"), log.new()
    log.global_level = 5
    expect(own:info("x")).is_true()
    expect(none:error("x")).is_false()
    log.global_level = 1
    expect(own:debug("x")).is_false()
    expect(none:debug("x")).is_true()
    own.level = 1
    expect(own:debug("y")).is_true()
    expect(lines).same({ "own N: x", "D: x", "own D: y" })
  end)

  it("lets write, out and filter be replaced per object", function()
    local l_o = log.new(2, "[mylog]")
    l_o.write = function(level, ...) return log.global_write(level, "extra", ...) end
    l_o:info("test")
    expect(lines).same({ "[mylog] N: extra    test" })
    local other = {}
    l_o.out = function(line) other[#other + 1] = line end
    l_o:info("away")
    expect(#lines).equal(1)
    expect(other).same({ "[mylog] N: extra    away" })
    l_o.filter = function(level, text) return level == 1 and text ~= "no" end
    expect(l_o:debug("yes")).is_true()
    expect(l_o:debug("no")).is_false()
    expect(l_o:print("no")).is_false()
    expect(#other).equal(2)
  end)

  it("lets global_write and global_filter be replaced", function()
    local write, filter = log.global_write, log.global_filter
    log.global_write = function(level, text) return level .. "|" .. text end
    log.global_filter = function(level) return level == 1 end
    expect(log:debug("x")).is_true()
    expect(log:print("x")).is_false()
    log.global_write, log.global_filter = write, filter
    expect(lines).same({ "1|x" })
  end)

  it("complains about a dot instead of a colon, and loses nothing", function()
    expect(log.print("x", 2)).is_false()
    expect(log.print("y")).is_false()
    expect(lines).same({ "invalid call, use 'log:', not 'log.'", "x    2", "y" })
  end)

  it("keeps write and set_level of early versions", function()
    log.write("text", 3)
    log.write("plain")
    log.set_level(4)
    log:warn("x")
    expect(log.global_level).equal(4)
    expect(lines).same({ "W: text", "plain" })
  end)
end)

describe("out", function()
  it("appends to a file", function()
    local name = os.tmpname()
    local l_o = log.new(1, "[f]")
    l_o.out = out.file(name)
    l_o:debug("one")
    l_o:print("two")
    local read = {}
    for line in io.lines(name) do read[#read + 1] = line end
    os.remove(name)
    expect(read).same({ "[f] D: one", "[f] two" })
    expect(lines).same({})
  end)

  it("says what is missing", function()
    local f, reason = out.file()
    expect(f).is_nil()
    expect(reason).equal("no file")
    f, reason = out.network()
    expect(f).is_nil()
    expect(reason).equal("no ip and port")
    f, reason = out.file("/no/such/folder/file")
    expect(f).is_nil()
    expect(reason).equal("/no/such/folder/file: No such file or directory")
  end)

  it("prints", function()
    expect(out.print()).is_a("function")
  end)
end)

test.run()
