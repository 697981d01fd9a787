-- Files to and from pyftpdlib; `given` is put before this file.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local ftp = require "socket.ftp"
local ltn12 = require "ltn12"
local socket = require "socket"

local base = "ftp://me:secret@127.0.0.1:" .. given.port
local content = ("0123456789abcde\n"):rep(50000)

describe("pyftpdlib", function()
  it("takes and gives files", function()
    expect({ ftp.put(base .. "/file%20one;type=i", content) }).same { #content }
    expect(ftp.get(base .. "/file%20one;type=i") == content).is_true()
    expect(ftp.put {
      host = "127.0.0.1", port = given.port, user = "me", password = "secret", type = "i",
      command = "appe", argument = "file one", source = ltn12.source.string("more"),
    }).equal(4)
    expect(#ftp.get(base .. "/file%20one;type=i")).equal(#content + 4)
  end)

  it("lists folders", function()
    expect(ftp.put(base .. "/listed;type=i", "x")).equal(1)
    local sink, parts = ltn12.sink.table()
    expect(ftp.get {
      host = "127.0.0.1", port = given.port, user = "me", password = "secret",
      command = "nlst", sink = sink,
    }).equal(1)
    expect(table.concat(parts)).contains("listed\r\n")
  end)

  it("runs commands", function()
    local function run(command, argument, check)
      return ftp.command {
        host = "127.0.0.1", port = given.port, user = "me", password = "secret",
        command = command, argument = argument, check = check,
      }
    end
    expect(run("mkd", "folder", 257)).equal(1)
    expect(ftp.put(base .. "/folder/inner;type=i", "x")).equal(1)
    expect(run({ "cwd", "dele" }, { "folder", "inner" }, { 250, 250 })).equal(1)
    expect(run("rmd", "folder", 250)).equal(1)
    local ok, reason = run("rmd", "folder", 250)
    expect(ok).is_nil()
    expect(reason).matches("^550 ")
  end)

  it("connects to us as we to it", function()
    expect(ftp.put(base .. "/ways;type=i", "both")).equal(4)
    for _, way in ipairs { "port", "eprt", "pasv", "epsv" } do
      local got = socket.protect(function()
        local f = ftp.open("127.0.0.1", given.port)
        f:greet()
        f:login("me", "secret")
        f:type("i")
        f[way](f)
        local sink, parts = ltn12.sink.table()
        f:receive { path = "ways", sink = sink }
        f:quit()
        f:close()
        return way .. " " .. table.concat(parts)
      end)()
      expect(got).equal(way .. " both")
    end
  end)

  it("refuses strangers and what is not there", function()
    local ok, reason = ftp.get("ftp://me:wrong@127.0.0.1:" .. given.port .. "/listed")
    expect(ok).is_nil()
    expect(reason).matches("^530 ")
    ok, reason = ftp.get(base .. "/none")
    expect(ok).is_nil()
    expect(reason).matches("^550 ")
  end)
end)

test.run()
