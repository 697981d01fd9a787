-- Tests of socket.ftp against a server within the program.
require "splay.base"
local ftp = require "socket.ftp"
local ltn12 = require "ltn12"
local server = require "local_server"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

-- Opens the data connection that was agreed on.
local function open_data(session)
  if session.passive then
    local data = session.passive:accept()
    session.passive:close()
    session.passive = nil
    return data
  end
  return assert(socket.connect(session.ip, session.port))
end

local commands = {}
function commands.USER(_, argument) return argument == "none" and "230 in" or "331 password?" end
function commands.PASS(_, argument) return argument == "wrong" and "530 no" or "230 in" end
function commands.TYPE(session, argument)
  session.type = argument
  return "200 fine"
end
function commands.QUIT() return "221 bye" end
function commands.CWD(_, argument) return argument == "away" and "550 no" or "250 there" end
function commands.DELE(session, argument)
  if not session.files[argument] then return "550 no such file" end
  session.files[argument] = nil
  return "250 gone"
end

local function listen(session)
  session.passive = assert(socket.bind("127.0.0.1", 0))
  session.passive:settimeout(5)
  local _, port = session.passive:getsockname()
  return port
end
function commands.EPSV(session)
  if session.old then return "502 what?" end
  return ("229 waiting (|||%d|)"):format(listen(session))
end
function commands.PASV(session)
  local port = listen(session)
  -- The address is a lie: clients use that of the control connection.
  return ("227 waiting (10,1,2,3,%d,%d)."):format(math.floor(port / 256), port % 256)
end
function commands.PORT(session, argument)
  local a, b, c, d, high, low = argument:match("^(%d+),(%d+),(%d+),(%d+),(%d+),(%d+)$")
  session.ip, session.port = ("%s.%s.%s.%s"):format(a, b, c, d), high * 256 + low
  return "200 fine"
end
function commands.EPRT(session, argument)
  session.ip, session.port = argument:match("^|1|(.-)|(%d+)|$")
  return "200 fine"
end

function commands.RETR(session, argument, c)
  local content = session.files[argument]
  if not content then return "550 no such file" end
  c:send("150-here\r\n150 it comes\r\n")
  local data = open_data(session)
  data:send(content)
  data:close()
  return session.broken and "426 broken" or "226 done"
end
function commands.STOR(session, argument, c)
  c:send("125 go on\r\n")
  local data = open_data(session)
  session.files[argument] = data:receive("*a") or ""
  data:close()
  return "226 done"
end
commands.APPE = commands.STOR
function commands.NLST(session, argument, c)
  local names = {}
  for name in pairs(session.files) do names[#names + 1] = name end
  table.sort(names)
  session.files[argument or ""] = table.concat(names, "\r\n")
  local reply = commands.RETR(session, argument or "", c)
  session.files[argument or ""] = nil
  return reply
end
function commands.STAT() return "211-status\r\n211 fine" end

local function serve(session)
  session.files = session.files or {}
  return server.start(function(c)
    session.commands = {}
    c:send(session.greeting or "220-hello\r\n220 there\r\n")
    while true do
      local line = c:receive()
      if not line then return end
      session.commands[#session.commands + 1] = line
      local name, argument = line:match("^(%a+) ?(.*)$")
      local command = commands[name]
      local reply = command and command(session, argument ~= "" and argument or nil, c)
      c:send((reply or "502 what?") .. "\r\n")
      if name == "QUIT" then return end
    end
  end)
end

describe("get", function()
  it("gets a file by its URL", function()
    local session = { files = { ["pub/a b.txt"] = ("hello\r\n"):rep(1000) } }
    local port = serve(session)
    local content = ftp.get("ftp://127.0.0.1:" .. port .. "/pub/a%20b.txt;type=a")
    expect(content).equal(session.files["pub/a b.txt"])
    expect(session.commands).same {
      "USER ftp", "PASS anonymous@anonymous.org", "TYPE a", "EPSV", "RETR pub/a b.txt", "QUIT",
    }
  end)

  it("logs in as the URL says", function()
    local session = { files = { f = "x" } }
    local port = serve(session)
    expect(ftp.get("ftp://me:se%20cret@127.0.0.1:" .. port .. "/f")).equal("x")
    expect(session.commands[1]).equal("USER me")
    expect(session.commands[2]).equal("PASS se cret")
    expect(ftp.get("ftp://none@127.0.0.1:" .. port .. "/f")).equal("x")
    expect(session.commands[2]).equal("EPSV")
  end)

  it("gives what a table asks for to its sink", function()
    local session = { files = { a = "1", b = "2" }, old = true }
    local port = serve(session)
    local sink, parts = ltn12.sink.table()
    expect({ ftp.get {
      host = "127.0.0.1", port = port, command = "nlst", argument = "dir", sink = sink, type = "i",
    } }).same { 1 }
    expect(table.concat(parts)).equal("a\r\nb")
    expect(session.commands[#session.commands - 1]).equal("NLST dir")
  end)

  it("finds the way to old servers, whatever address they name", function()
    local session = { files = { f = "by pasv" }, old = true }
    local port = serve(session)
    expect(ftp.get("ftp://127.0.0.1:" .. port .. "/f")).equal("by pasv")
    expect(session.commands[3]).equal("EPSV")
    expect(session.commands[4]).equal("PASV")
  end)

  it("gives a reply that is all there is", function()
    local port = serve {}
    local sink, parts = ltn12.sink.table()
    expect(ftp.get { host = "127.0.0.1", port = port, command = "stat", sink = sink }).equal(1)
    expect(table.concat(parts)).equal("211-status\n211 fine")
  end)

  it("fails as a value", function()
    local session = { files = { f = "x" } }
    local port = serve(session)
    local base = "127.0.0.1:" .. port
    expect({ ftp.get("ftp://" .. base .. "/none") }).same { nil, "550 no such file" }
    expect({ ftp.get("ftp://me:wrong@" .. base .. "/f") }).same { nil, "530 no" }
    expect({ ftp.get("http://" .. base .. "/f") }).same { nil, "wrong scheme 'http'" }
    expect({ ftp.get("ftp://" .. base .. "/f;type=text") }).same { nil, "invalid type 'type=text'" }
    expect({ ftp.get { sink = ltn12.sink.null() } }).same { nil, "missing hostname" }
    expect({ ftp.get("ftp://" .. base .. "/a%0d%0aDELE%20f") }).same { nil, "invalid command" }
    local full = ltn12.sink.error("full")
    expect({ ftp.get { host = "127.0.0.1", port = port, path = "/f", sink = full } })
      .same { nil, "full" }
    session.broken = true
    expect({ ftp.get("ftp://" .. base .. "/f") }).same { nil, "426 broken" }
    session.greeting = "421 too many\r\n"
    expect({ ftp.get("ftp://" .. base .. "/f") }).same { nil, "421 too many" }
  end)
end)

describe("put", function()
  it("puts a string to a URL, and tells its bytes", function()
    local session = {}
    local port = serve(session)
    local content = ("x"):rep(100000)
    expect({ ftp.put("ftp://me:pw@127.0.0.1:" .. port .. "/dir/f;type=i", content) })
      .same { 100000 }
    expect(session.files["dir/f"]).equal(content)
    expect(session.type).equal("i")
  end)

  it("puts what a source gives", function()
    local session = {}
    local port = serve(session)
    expect(ftp.put {
      host = "127.0.0.1", port = port, command = "appe", argument = "f",
      source = ltn12.source.table { "a", "b" },
    }).equal(2)
    expect(session.files.f).equal("ab")
    expect({ ftp.put {
      host = "127.0.0.1", port = port, path = "g", source = ltn12.source.error("gone"),
    } }).same { nil, "gone" }
  end)
end)

describe("command", function()
  it("runs one", function()
    local session = { files = { f = "x" } }
    local port = serve(session)
    local dele = { host = "127.0.0.1", port = port, command = "dele", argument = "f", check = 250 }
    expect({ ftp.command(dele) }).same { 1 }
    expect(session.files).same {}
    expect({ ftp.command(dele) }).same { nil, "550 no such file" }
    dele.check = nil
    expect({ ftp.command(dele) }).same { 1 }
    expect({ ftp.command { host = "127.0.0.1", port = port } }).same { nil, "missing command" }
  end)

  it("runs several", function()
    local session = { files = { f = "x" } }
    local port = serve(session)
    expect({ ftp.command {
      host = "127.0.0.1", port = port, command = { "cwd", "noop", "dele" },
      argument = { "dir", nil, "f" }, check = { "250", nil, "2.." },
    } }).same { 1 }
    expect(session.commands)
      .same { "USER ftp", "PASS anonymous@anonymous.org", "CWD dir", "NOOP", "DELE f", "QUIT" }
  end)
end)

describe("connections", function()
  it("transfer one file after the other, both ways round", function()
    local session = { files = { f = "content" } }
    local _, reason = pcall(function()
      local f = ftp.open("127.0.0.1", (serve(session)))
      f:greet()
      f:login("me", "pw")
      f:cwd("dir")
      local sink, parts = ltn12.sink.table()
      f:port()
      f:receive { path = "f", sink = sink }
      f:eprt()
      f:receive { path = "f", sink = sink }
      local ip, port = f:pasv()
      expect(ip).equal("10.1.2.3")
      expect(port).at_least(1)
      f:receive { path = "f", sink = sink }
      ip = f:epsv()
      expect(ip).equal("127.0.0.1")
      expect(f:send { path = "/g", source = ltn12.source.string("new") }).equal(3)
      f:quit()
      f:close()
      expect(table.concat(parts)).equal("contentcontentcontent")
    end)
    expect(reason).is_nil()
    expect(session.files.g).equal("new")
  end)

  it("raise what protect makes values of", function()
    local port = serve {}
    local function away()
      local f = ftp.open("127.0.0.1", port)
      f:greet()
      f:login()
      f:cwd("away")
    end
    expect({ socket.protect(away)() }).same { nil, "550 no" }
    expect(pcall(away)).is_false()
    local function unprepared()
      local f = ftp.open("127.0.0.1", port)
      f:greet()
      f:receive { path = "f", sink = ltn12.sink.null() }
    end
    expect({ socket.protect(unprepared)() }).same { nil, "need port or pasv first" }
  end)
end)

test.run()
