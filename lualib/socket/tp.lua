--- Text protocols such as SMTP and FTP: commands of a line, replies of a code and lines of text.
---
--- ```lua
--- net.server(20024, function(s)
---   s:send("220 localhost ready\r\n")
---   for line in function() return s:receive() end do s:send("250 heard " .. line .. "\r\n") end
--- end)
--- local c = tp.connect("127.0.0.1", 20024)
--- c:check("2..")  --> 220, "220 localhost ready"
--- c:command("helo", "me")
--- c:check(250)    --> 250, "250 heard HELO me"
--- ```
---
--- Since: 0.1
local socket = require "socket"
local ltn12 = require "ltn12"

---@class socket.tp
local M = {
  --- Seconds that one step may take.
  TIMEOUT = 60,
}

--- Bytes of a reply that are too many.
local LIMIT = 262144

--- ```lua
--- net.server(20025, function(s)
---   s:send("220 localhost ready\r\n")
---   for line in function() return s:receive() end do s:send("250 heard " .. line .. "\r\n") end
--- end)
--- local c = assert(tp.connect("127.0.0.1", 20025))
--- ```
---@class socket.tp.Connection
---@field c splay.Tcp|splay.Tls
local Connection = {}
Connection.__index = Connection

-- A reply: its code, and all its lines.
local function receive_reply(c)
  local line, reason = c:receive()
  if not line then return nil, reason end
  local reply, size = { line }, #line
  local code, separator = line:match("^(%d%d%d)(.?)")
  if not code then return nil, "invalid server reply" end
  if separator == "-" then
    repeat
      line, reason = c:receive()
      if not line then return nil, reason end
      size = size + #line
      if size > LIMIT then return nil, "server reply too long" end
      reply[#reply + 1] = line
      local current, after = line:match("^(%d%d%d)(.?)")
    until current == code and after ~= "-"
  end
  return code, table.concat(reply, "\n")
end

--- Receives a reply and checks its code: by a pattern, a list of patterns, or a function that
--- gets code and reply.
---
--- `c:check({ "1..", "2.." })  --> 220, "220 localhost ready"`
---
--- Errors: `nil, "reason"`: what the server replied, "invalid server reply", "server reply too
--- long", or those of the network.
---@async
---@param ok string|number|(string|number)[]|fun(code: integer, reply: string): any, any
---@return any code a number; nil, reply or reason if it is another
---@return any reply
function Connection:check(ok)
  local code, reply = receive_reply(self.c)
  if not code then return nil, reply end
  if type(ok) == "function" then return ok(tonumber(code), reply) end
  for _, pattern in ipairs(type(ok) == "table" and ok or { ok }) do
    if code:find(tostring(pattern)) then return tonumber(code), reply end
  end
  return nil, reply
end

--- Sends a command.
---
--- `c:command("mail", "FROM:<me@localhost>")  --> 26`
--- `c:command("two\r\nlines")                 --> nil, "invalid command"`
---
--- Errors: `nil, "invalid command"` for line ends, or those of the network.
---@async
---@param command string
---@param argument string|number|nil
---@return integer? bytes nil, "reason"
---@return string? reason
function Connection:command(command, argument)
  command = command:upper()
  if argument then command = command .. " " .. argument end
  if command:find("[%z\r\n]") then return nil, "invalid command" end
  return self.c:send(command .. "\r\n")
end

--- Receives a part of the connection's bytes and gives it to a sink.
---
--- `c:sink(ltn12.sink.null())  --> 1`
---
--- Errors: those of the sink.
---@async
---@param sink ltn12.Sink
---@param pattern string|integer|nil as of `receive`
---@return any ok
---@return any reason
function Connection:sink(sink, pattern)
  return sink(self.c:receive(pattern))
end

--- Sends bytes.
---
--- `c:send("noop\r\n")  --> 6`
---
--- Errors: those of `Tcp:send`.
---@async
---@param data string
---@return integer? last
---@return string? reason
function Connection:send(data) return self.c:send(data) end

--- Receives bytes.
---
--- `c:receive()  --> "220 localhost ready"`
---
--- Errors: those of `Tcp:receive`.
---@async
---@param pattern string|integer|nil
---@return string? data
---@return string? reason
function Connection:receive(pattern) return self.c:receive(pattern) end

--- The descriptor, for `socket.select`.
---
--- `c:getfd()  --> such as 12`
---@return integer
function Connection:getfd() return self.c:getfd() end

--- Whether received bytes wait.
---
--- `c:dirty()  --> false`
---@return boolean
function Connection:dirty() return self.c:dirty() end

--- The socket.
---
--- `c:getcontrol():getpeername()  --> "127.0.0.1", 20025, "inet"`
---@return splay.Tcp
function Connection:getcontrol() return self.c end

--- Sends what a source gives.
---
--- `c:source(ltn12.source.string("noop\r\n"))  --> 1`
---
--- Errors: those of the source and of `Tcp:send`.
---@async
---@param source ltn12.Source
---@param step function?
---@return integer? one
---@return any reason
function Connection:source(source, step)
  return ltn12.pump.all(source, socket.sink("keep-open", self.c), step)
end

--- Encrypts the connection from here on, see `ssl.wrap`.
---
--- ```lua not run: a server with a certificate is needed
--- c:secure({ mode = "client", cafile = "ca.pem" })  --> 1
--- ```
---
--- Errors: `nil, "reason"`: those of `ssl.wrap` and of the handshake.
---@async
---@param parameters ssl.Parameters
---@return integer? one nil, "reason"
---@return string? reason
function Connection:secure(parameters)
  local wrapped, reason = require("ssl").wrap(self.c, parameters)
  if not wrapped then return nil, reason end
  self.c = wrapped
  local ok
  ok, reason = wrapped:dohandshake()
  if not ok then return nil, reason end
  return 1
end

--- Closes the connection.
---
--- `c:close()  --> 1`
---@return integer one
function Connection:close()
  self.c:close()
  return 1
end

--- Connects to a server.
---
--- `tp.connect("127.0.0.1", 1)  --> nil, "connection refused"`
---
--- Errors: `nil, "reason"`, those of the network.
---@async
---@param host string
---@param port integer|string
---@param timeout number? seconds of each step, `TIMEOUT` if absent
---@param create (fun(): table?, string?)? `socket.tcp` if absent
---@return socket.tp.Connection? connection nil, "reason"
---@return string? reason
function M.connect(host, port, timeout, create)
  local c, reason = (create or socket.tcp)()
  if not c then return nil, reason end
  c:settimeout(timeout or M.TIMEOUT)
  local ok
  ok, reason = c:connect(host, port)
  if not ok then
    c:close()
    return nil, reason
  end
  return setmetatable({ c = c }, Connection)
end

return M
