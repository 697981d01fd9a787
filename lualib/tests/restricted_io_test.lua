-- Tests of splay.restricted_io: files, limits and their messages.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local md5 = require("splay.md5_core").hex

-- The real io makes the folder and looks into it.
local real = io
local rio = require "splay.restricted_io"
local directory = os.tmpname()
os.remove(directory)

--- The bytes really on disk under a name, or nil.
local function on_disk(name)
  local file = real.open(directory .. "/pfs_" .. md5(name), "r")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

local function put(name, text)
  local file = assert(rio.open(name, "w"))
  local ok, reason = file:write(text)
  file:close()
  return ok, reason
end

local function get(name)
  local file, reason = rio.open(name)
  if not file then return nil, reason end
  local text = file:read("*a")
  file:close()
  return text
end

describe("restricted_io before init", function()
  it("opens nothing", function()
    local file, reason = rio.open("x", "w")
    expect(file).is_nil()
    expect(reason).equal("restricted_io is not initialized")
    expect(rio.exists("x")).is_false()
    expect((rio.init())).is_false()
    expect((rio.init({}))).is_false()
  end)

  it("can be initialized once", function()
    -- Files of an earlier run, as the index lists them.
    if not os.execute then return expect(os.execute).is_nil() end
    os.execute("mkdir -p '" .. directory .. "'") -- splay: allow(blocks)
    for _, name in ipairs { "old", "gone" } do
      local file = assert(real.open(directory .. "/pfs_" .. md5(name), "w"))
      file:write(name)
      file:close()
    end
    local index = assert(real.open(directory .. "/pfs_index", "w"))
    index:write("+", md5("old"), "\n+", md5("gone"), "\n-", md5("gone"), "\n")
    index:close()
    local ok = rio.init({
      directory = directory, no_std = true, max_size = 1000, max_files = 5,
      max_file_descriptors = 3, clean = false,
    })
    expect(ok).is_true()
    local again, reason = rio.init({ directory = directory })
    expect(again).is_false()
    expect(reason).equal("init() already called")
    local files, size = rio.stats()
    expect(files).equal(1)
    expect(size).equal(3)
    expect(get("old")).equal("old")
    expect(rio.remove("old")).is_true()
  end)
end)

describe("restricted_io", function()
  test.before_each(function() rio.clean() end)

  it("maps names to hashed files", function()
    expect(put("dir/../x y", "hello")).is_true()
    expect(on_disk("dir/../x y")).equal("hello")
    expect(get("dir/../x y")).equal("hello")
    expect(rio.exists("dir/../x y")).is_true()
    expect(rio.exists("x")).is_false()
    expect(rio.list()).same({ "dir/../x y" })
    local file = rio.open(12, "w")
    file:close()
    expect(rio.exists("12")).is_true()
  end)

  it("writes several strings and numbers", function()
    local file = rio.open("f", "w")
    expect(file:write("a", 1, "b", 2.5)).is_true()
    expect(file:write()).is_true()
    expect(function() file:write(nil) end).errors("bad argument #1")
    expect(function() file:write("x", {}) end).errors("bad argument #2")
    file:close()
    expect(get("f")).equal("a1b2.5")
  end)

  it("reads lines, formats and numbers", function()
    put("f", "one\ntwo\n3 4\n")
    local lines = {}
    for line in rio.lines("f") do lines[#lines + 1] = line end
    expect(lines).same({ "one", "two", "3 4" })
    local file = rio.open("f", "r")
    expect(file:read(3)).equal("one")
    expect(file:read("*l")).equal("")
    expect(file:read("*l")).equal("two")
    local a, b = file:read("*n", "*n")
    expect(a).equal(3)
    expect(b).equal(4)
    expect(file:seek("set", 0)).equal(0)
    local n = 0
    for _ in file:lines() do n = n + 1 end
    expect(n).equal(3)
    file:close()
    expect(function() file:read() end).errors("closed file")
    expect(function() rio.lines("missing") end).errors("Error opening file missing")
  end)

  it("appends and updates", function()
    put("f", "12345")
    local file = rio.open("f", "a")
    file:write("67")
    file:close()
    expect(get("f")).equal("1234567")
    file = rio.open("f", "r+")
    file:seek("set", 2)
    file:write("xy")
    file:close()
    expect(get("f")).equal("12xy567")
    expect(select(2, rio.stats())).equal(7)
  end)

  it("refuses unknown files and modes without using a descriptor", function()
    for _ = 1, 20 do
      local file, reason = rio.open("missing", "r")
      expect(file).is_nil()
      expect(reason).equal("Error opening file missing")
    end
    expect((rio.open("f", "wx"))).is_nil()
    expect((rio.open("f", "r,ccs=UTF-8"))).is_nil()
    expect(select(3, rio.stats())).equal(0)
    expect(put("f", "x")).is_true()
  end)

  it("limits descriptors", function()
    put("f", "x")
    local open = {}
    for i = 1, 3 do open[i] = assert(rio.open("f")) end
    local file, reason = rio.open("f")
    expect(file).is_nil()
    expect(reason).equal("Maximum file descriptors reached")
    expect(select(3, rio.stats())).equal(3)
    open[1]:close()
    file = rio.open("f")
    expect(file).truthy()
    file:close()
    for i = 2, 3 do open[i]:close() end
    expect(select(3, rio.stats())).equal(0)
  end)

  it("gives back the descriptors of forgotten files", function()
    put("f", "x")
    for _ = 1, 50 do expect((rio.open("f"))).truthy() end
  end)

  it("limits files", function()
    for i = 1, 5 do expect(put("f" .. i, "x")).is_true() end
    local file, reason = rio.open("f6", "w")
    expect(file).is_nil()
    expect(reason).equal("Maximum number of files reached.")
    expect(put("f5", "again")).is_true()
    expect(rio.remove("f1")).is_true()
    expect(put("f6", "x")).is_true()
  end)

  it("limits space by the largest offset written", function()
    local file = rio.open("f", "w")
    expect(file:write(("x"):rep(600))).is_true()
    local ok, reason = file:write(("x"):rep(401))
    expect(ok).is_nil()
    expect(reason).equal("No disk space")
    expect(file:write(("x"):rep(400))).is_true()
    expect(file:size()).equal(1000)
    expect((file:write("x"))).is_nil()
    file:seek("set", 0)
    expect(file:write("overwriting is free")).is_true()
    file:seek("set", 5000)
    expect((file:write("y"))).is_nil()
    file:close()
    expect(select(2, rio.stats())).equal(1000)
    expect((put("g", "z"))).is_nil()
    file = rio.open("f", "w") -- truncates
    expect(select(2, rio.stats())).equal(0)
    file:seek("set", 900)
    expect(file:write("y")).is_true()
    file:close()
    expect(select(2, rio.stats())).equal(901)
  end)

  it("counts the space after reading correctly", function()
    put("f", "12345")
    local file = rio.open("f", "r+")
    file:read(3)
    file:seek("cur", 0)
    expect(file:write("abcdef")).is_true()
    expect(file:size()).equal(9)
    file:close()
    expect(get("f")).equal("123abcdef")
  end)

  it("keeps counting a removed file until it is closed", function()
    local file = rio.open("f", "w")
    file:write(("x"):rep(800))
    expect(rio.remove("f")).is_true()
    expect(rio.exists("f")).is_false()
    expect((put("g", ("x"):rep(300)))).is_nil()
    file:close()
    expect(put("g", ("x"):rep(300))).is_true()
    expect(select(2, rio.stats())).equal(300)
    local missing, reason = rio.remove("f")
    expect(missing).is_nil()
    expect(reason).equal("f: No such file or directory")
  end)

  it("renames, replacing", function()
    put("a", "aaaa")
    put("b", "bb")
    expect(rio.rename("a", "b")).is_true()
    expect(rio.exists("a")).is_false()
    expect(get("b")).equal("aaaa")
    expect(rio.list()).same({ "b" })
    local files, size = rio.stats()
    expect(files).equal(1)
    expect(size).equal(4)
    expect((rio.rename("nothing", "c"))).is_nil()
  end)

  it("has default files, but no standard ones", function()
    expect(rio.stdout).is_nil() -- splay: allow(unknown-member)
    expect(rio.popen).is_nil() -- splay: allow(unknown-member)
    local ok, reason = rio.write("x")
    expect(ok).is_nil()
    expect(reason).equal("no default file")
    expect(select(2, rio.read())).equal("no default file")
    rio.output("f")
    expect(rio.write("a", 1, "\n")).is_true()
    rio.close()
    rio.input("f")
    expect(rio.read()).equal("a1")
    rio.close(rio.input())
    expect((rio.read())).is_nil()
  end)

  it("makes temporary files", function()
    local name = rio.tmpname()
    expect(rio.exists(name)).is_false()
    local file = rio.tmpfile()
    file:write("temporary")
    file:seek("set", 0)
    expect(file:read("*a")).equal("temporary")
    expect((rio.stats())).equal(0)
    expect(select(2, rio.stats())).equal(9)
    file:close()
    expect(select(2, rio.stats())).equal(0)
  end)

  it("knows its types and hides what is behind", function()
    local file = rio.open("f", "w")
    expect(rio.type(file)).equal("file")
    expect(getmetatable(file)).equal("FILE*")
    expect(next(file)).is_nil()
    file:close()
    expect(rio.type(file)).equal("closed file")
    expect(rio.type({})).is_nil()
    expect(rio.type(5)).is_nil()
  end)

  it("reports limits", function()
    local max_files, max_size, max_fds = rio.limits()
    expect(max_files).equal(5)
    expect(max_size).equal(1000)
    expect(max_fds).equal(3)
    put("f", "123")
    expect(rio.infos()).equal("Files: 1 / 5\nSize: 3 / 1000\nFile descriptors: 0 / 3")
  end)

  it("keeps an index that does not grow without end", function()
    for _ = 1, 300 do
      put("f", "x")
      rio.remove("f")
    end
    local n = 0
    for _ in real.lines(directory .. "/pfs_index") do n = n + 1 end
    expect(n).at_most(80)
  end)

  it("cleans up", function()
    put("f", "x")
    rio.clean()
    expect(on_disk("f")).is_nil()
    local files, size = rio.stats()
    expect(files + size).equal(0)
    for _, name in ipairs { "gone", "old" } do os.remove(directory .. "/pfs_" .. md5(name)) end
    os.remove(directory .. "/pfs_index")
    os.remove(directory)
  end)
end)

test.run()
