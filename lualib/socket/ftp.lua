--- FTP clients: files to and from servers by URLs, sources and sinks, and single commands. Data
--- connections go to the server that answers, whichever address it names.
---
--- ```lua
--- -- a small server, for this and the other examples
--- local replies = { USER = 230, TYPE = 200, CWD = 250, DELE = 250, QUIT = 221 }
--- replies.PORT, replies.EPRT = 200, 200
--- net.server(20021, function(s)
---   local data, stored = nil, "hello"
---   s:send("220 ready\r\n")
---   for line in function() return s:receive() end do
---     local word = line:match("%a+"):upper()
---     if word == "EPSV" or word == "PASV" then
---       data = socket.bind("127.0.0.1", 0)
---       local _, port = data:getsockname()
---       s:send(word == "EPSV" and ("229 (|||%d|)\r\n"):format(port)
---         or ("227 (127,0,0,1,%d,%d)\r\n"):format(math.floor(port / 256), port % 256))
---     elseif word == "RETR" or word == "STOR" then
---       s:send("150 here\r\n")
---       local c = data:accept()
---       if word == "RETR" then c:send(stored) else stored = c:receive("*a") end
---       c:close()
---       s:send("226 done\r\n")
---     else
---       s:send((replies[word] or 500) .. " " .. word .. "\r\n")
---     end
---   end
--- end)
---
--- ftp.get("ftp://127.0.0.1:20021/readme.txt;type=a")    --> "hello"
--- ftp.put("ftp://127.0.0.1:20021/notes.txt", "a note")  --> 6
--- ```
---
--- Since: 0.1
local socket = require "socket"
local url = require "socket.url"
local ltn12 = require "ltn12"
local tp = require "socket.tp"

---@class socket.ftp
local M = {
  --- Seconds that one step may take.
  TIMEOUT = 60,
  --- Port of servers whose URL names none.
  PORT = 21,
  --- Name to log in with where none is given.
  USER = "ftp",
  --- Password to log in with where none is given.
  PASSWORD = "anonymous@anonymous.org",
}

--- `local f = ftp.open("127.0.0.1", 20021)`
--- `f:greet()`
---@class socket.ftp.Connection
---@field tp socket.tp.Connection
---@field try fun(...): ...
---@field pasvt {address: string, port: integer}? where the server waits for a data connection
---@field server splay.Tcp? where the client waits for one
---@field data splay.Tcp? the data connection
local Connection = {}
Connection.__index = Connection

--- Receives the server's greeting.
---
--- `ftp.open("127.0.0.1", 20021):greet()  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
function Connection:greet()
  local code = self.try(self.tp:check { "1..", "2.." })
  if code < 200 then self.try(self.tp:check("2..")) end
  return 1
end

--- Logs in.
---
--- `f:login("me", "secret")  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param user string?
---@param password string?
function Connection:login(user, password)
  self.try(self.tp:command("USER", user or M.USER))
  local code = self.try(self.tp:check { "2..", "331" })
  if code == 331 then
    self.try(self.tp:command("PASS", password or M.PASSWORD))
    self.try(self.tp:check("2.."))
  end
  return 1
end

local function forget_data(self)
  if self.server then self.server:close() end
  if self.data then self.data:close() end
  self.server, self.data, self.pasvt = nil, nil, nil
end

--- Asks the server to wait for a data connection (IPv4).
---
--- `f:pasv()  --> "127.0.0.1", ...`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@return string address as the server names it
---@return integer port
function Connection:pasv()
  self.try(self.tp:command("PASV"))
  local _, reply = self.try(self.tp:check("2.."))
  local a, b, c, d, high, low = reply:match("(%d+)%D(%d+)%D(%d+)%D(%d+)%D(%d+)%D(%d+)")
  self.try(a, reply)
  forget_data(self)
  self.pasvt = { address = ("%s.%s.%s.%s"):format(a, b, c, d), port = high * 256 + low }
  return self.pasvt.address, self.pasvt.port
end

-- What a reply to EPSV says: `(|||port|)`, with any sign for the bars.
local function enter_extended(self, reply)
  local _, port = reply:match("%((.)%1%1(%d+)%1%)")
  self.try(port, "invalid epsv response")
  forget_data(self)
  self.pasvt = { address = (self.tp.c:getpeername()), port = tonumber(port) }
  return self.pasvt.address, self.pasvt.port
end

--- Asks the server to wait for a data connection (any family).
---
--- `f:epsv()  --> "127.0.0.1", ...`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@return string address the server's
---@return integer port
function Connection:epsv()
  self.try(self.tp:command("EPSV"))
  local _, reply = self.try(self.tp:check("229"))
  return enter_extended(self, reply)
end

-- Asks for a data connection, by the newer command if the server knows it.
local function passive(self)
  self.try(self.tp:command("EPSV"))
  local code, reply = self.try(self.tp:check { "229", "5.." })
  if code == 229 then return enter_extended(self, reply) end
  return self:pasv()
end

-- Waits for data connections at a local address, if the program does not.
local function listen(self, address, port)
  forget_data(self)
  if address then return address, port end
  local family
  address, port, family = self.try(self.tp.c:getsockname())
  self.server = self.try(socket.bind(address, 0))
  address, port = self.try(self.server:getsockname())
  self.server:settimeout(M.TIMEOUT)
  return address, port, family
end

--- Tells the server where to connect to (IPv4): an address of one's own if none is given.
---
--- `f:port()  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param address string?
---@param port integer?
function Connection:port(address, port)
  address, port = listen(self, address, port)
  local argument = ("%s,%d,%d"):format(address:gsub("%.", ","), math.floor(port / 256), port % 256)
  self.try(self.tp:command("PORT", argument))
  self.try(self.tp:check("2.."))
  return 1
end

--- Tells the server where to connect to (any family).
---
--- `f:eprt()  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param family string? "1" for IPv4, "2" for IPv6
---@param address string?
---@param port integer?
function Connection:eprt(family, address, port)
  local own
  address, port, own = listen(self, address, port)
  family = family or (own == "inet6" and "2" or "1")
  self.try(self.tp:command("EPRT", ("|%s|%s|%d|"):format(family, address, port)))
  self.try(self.tp:check("2.."))
  return 1
end

--- Waits for the server's data connection.
---
--- ```lua not run: the server has to connect
--- f:port()
--- f:portconnect()
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
function Connection:portconnect()
  self.data = self.try(self.server:accept())
  self.data:settimeout(M.TIMEOUT)
end

--- Makes the data connection.
---
--- ```lua
--- f:pasv()
--- f:pasvconnect()
--- f.data:getpeername()  --> "127.0.0.1", ...
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
function Connection:pasvconnect()
  self.data = self.try(socket.tcp())
  self.data:settimeout(M.TIMEOUT)
  self.try(self.data:connect((self.tp.c:getpeername()), self.pasvt.port))
end

-- Starts a transfer; returns code and reply, and opens the data connection.
local function begin(self, transfer, command)
  self.try(self.pasvt or self.server, "need port or pasv first")
  if self.pasvt then self:pasvconnect() end
  local argument = transfer.argument
    or url.unescape((transfer.path or ""):gsub("^[/\\]", "", 1))
  if argument == "" then argument = nil end
  self.try(self.tp:command(transfer.command or command, argument))
  local code, reply = self.try(self.tp:check { "1..", "2.." })
  if code < 200 and not self.pasvt then self:portconnect() end
  return code, reply
end

--- Sends a file over the data connection and returns its bytes.
---
--- `f:pasv()`
--- `f:send{ path = "notes.txt", source = ltn12.source.string("hello") }  --> 5`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param transfer socket.ftp.Transfer
---@return integer bytes
function Connection:send(transfer)
  local code = begin(self, transfer, "stor")
  local sent, count = socket.sink("close-when-done", self.data), 0
  self.try(ltn12.pump.all(transfer.source, function(chunk, reason)
    if chunk then count = count + #chunk end
    return sent(chunk, reason)
  end, transfer.step))
  if code < 200 then self.try(self.tp:check("2..")) end
  forget_data(self)
  return count
end

--- Receives a file over the data connection.
---
--- ```lua
--- local sink, parts = ltn12.sink.table()
--- f:epsv()
--- f:receive{ path = "notes.txt", sink = sink }  --> 1
--- parts                                        --> { "hello" }
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param transfer socket.ftp.Transfer
function Connection:receive(transfer)
  local code, reply = begin(self, transfer, "retr")
  if code >= 200 then
    -- A reply that is all there is to say.
    forget_data(self)
    self.try(ltn12.pump.all(ltn12.source.string(reply), transfer.sink, transfer.step))
    return 1
  end
  self.try(ltn12.pump.all(socket.source("until-closed", self.data), transfer.sink, transfer.step))
  self.try(self.tp:check("2.."))
  forget_data(self)
  return 1
end

--- Changes the server's folder.
---
--- `f:cwd("pub")  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param folder string
function Connection:cwd(folder)
  self.try(self.tp:command("CWD", folder))
  self.try(self.tp:check("250"))
  return 1
end

--- Sets the type of transfers: "a" for text, "i" for bytes.
---
--- `f:type("i")  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param type string
function Connection:type(type)
  self.try(self.tp:command("TYPE", type))
  self.try(self.tp:check("200"))
  return 1
end

--- Says goodbye.
---
--- `f:quit()  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
function Connection:quit()
  self.try(self.tp:command("QUIT"))
  self.try(self.tp:check("2.."))
  return 1
end

--- Closes the connections.
---
--- `f:close()  --> 1`
---@return integer one
function Connection:close()
  forget_data(self)
  return self.tp:close()
end

--- Connects to a server. The methods of the object raise what `socket.protect` catches.
---
--- `socket.protect(ftp.open)("127.0.0.1", 1)  --> nil, "connection refused"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param server string
---@param port integer?
---@param create (fun(): table?, string?)?
---@return socket.ftp.Connection
function M.open(server, port, create)
  local connection = socket.try(tp.connect(server, port or M.PORT, M.TIMEOUT, create))
  local self = setmetatable({ tp = connection }, Connection)
  self.try = socket.newtry(function() self:close() end)
  return self
end

---@class socket.ftp.Transfer
---@field url string? or its parts, which come first
---@field host string?
---@field port integer?
---@field user string?
---@field password string?
---@field path string? of the file
---@field argument string? of the command, instead of `path`
---@field command string? instead of "retr" or "stor"
---@field type string? "a" or "i"
---@field source ltn12.Source? what is put
---@field sink ltn12.Sink? gets what is got
---@field step function?
---@field create (fun(): table?, string?)?

-- The parts of a URL, with the fields of a transfer over them.
local function parts_of(transfer)
  local parts = {}
  if type(transfer) == "string" then transfer = { url = transfer } end
  if transfer.url then
    parts = socket.try(url.parse(transfer.url, { path = "/", scheme = "ftp" }))
    socket.try(parts.scheme == "ftp", "wrong scheme '" .. parts.scheme .. "'")
    if parts.params then
      parts.type = socket.try(parts.params:match("^type=(.)$"),
        "invalid type '" .. parts.params .. "'")
    end
    parts.user = parts.user and url.unescape(parts.user)
    parts.password = parts.password and url.unescape(parts.password)
  end
  for name, value in pairs(transfer) do parts[name] = value end
  socket.try(parts.host, "missing hostname")
  return parts
end

-- Logs in to the server of a transfer.
local function start(parts)
  local f = M.open(parts.host, parts.port, parts.create)
  f:greet()
  f:login(parts.user, parts.password)
  return f
end

local function transfer_with(parts, method)
  local f = start(parts)
  if parts.type then f:type(parts.type) end
  passive(f)
  local result = f[method](f, parts)
  f:quit()
  f:close()
  return result
end

--- Gets a file: as a string from a URL, or into the sink of a table.
---
--- `ftp.get("ftp://127.0.0.1:20021/readme.txt;type=a")  --> "hello"`
---
--- Errors: `nil, "reason"`: what the server replied, "wrong scheme 'X'", "invalid type 'X'",
--- "missing hostname", or those of the network.
---@async
---@param transfer string|socket.ftp.Transfer
---@return string|integer|nil content 1 where `transfer` is a table; nil, "reason"
---@return string? reason
M.get = socket.protect(function(transfer)
  local parts = parts_of(transfer)
  if type(transfer) == "table" then return transfer_with(parts, "receive") end
  local sink, chunks = ltn12.sink.table()
  parts.sink = sink
  transfer_with(parts, "receive")
  return table.concat(chunks)
end)

--- Puts a file: a string to a URL, or what the source of a table gives.
---
--- `ftp.put("ftp://me:secret@127.0.0.1:20021/notes.txt", "hello")  --> 5`
---
--- Errors: `nil, "reason"`: what the server replied, "wrong scheme 'X'", "invalid type 'X'",
--- "missing hostname", or those of the network.
---@async
---@param transfer string|socket.ftp.Transfer
---@param content string?
---@return integer? bytes nil, "reason"
---@return string? reason
M.put = socket.protect(function(transfer, content)
  local parts = parts_of(transfer)
  if type(transfer) == "string" then parts.source = ltn12.source.string(content) end
  return transfer_with(parts, "send")
end)

---@class socket.ftp.Commands
---@field url string?
---@field host string?
---@field port integer?
---@field user string?
---@field password string?
---@field command string|string[]
---@field argument string|string[]|nil
---@field check any the codes expected, as of `check` of `socket.tp`; a list of them for a list
---@field create (fun(): table?, string?)?

--- Runs commands that need no data connection.
---
--- `ftp.command{ host = "127.0.0.1", port = 20021, command = "dele", argument = "old" }  --> 1`
---
--- Errors: `nil, "reason"`: what the server replied, "wrong scheme 'X'", "invalid type 'X'",
--- "missing hostname", or those of the network.
---@async
---@param commands socket.ftp.Commands
---@return integer? one nil, "reason"
---@return string? reason
M.command = socket.protect(function(commands)
  local parts = parts_of(commands)
  socket.try(parts.command, "missing command")
  local f = start(parts)
  local function run(command, argument, check)
    f.try(f.tp:command(command, argument))
    f.try(f.tp:check(check or "..."))
  end
  if type(parts.command) == "table" then
    local arguments, checks = parts.argument or {}, parts.check or {}
    for i, command in ipairs(parts.command) do run(command, arguments[i], checks[i]) end
  else
    run(parts.command, parts.argument, parts.check)
  end
  f:quit()
  return f:close()
end)

return M
