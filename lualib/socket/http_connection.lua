--- One connection of `socket.http`: sends requests, receives responses, and is kept for another
--- request or closed. Its methods raise what `socket.protect` makes `nil, "reason"` of.
local socket = require "socket"
local ltn12 = require "ltn12"
local core = require "splay.http_core"
local canonic = require("socket.headers").canonic

local M = {}

--- Bytes of a line, or of all fields of a message together, that are too many.
local LIMIT = 262144
--- Bytes of a chunk's piece.
local PIECE = 16384
--- Connections kept for one server.
local KEPT = 4

--- ```lua
--- net.server(20082, function(s)
---   repeat local line = s:receive() until not line or line == ""
---   s:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
--- end)
--- local c = http.open("127.0.0.1", 20082)
--- ```
---@class socket.http.Connection
---@field c splay.Tcp|splay.Tls
---@field try fun(...): ...
local Connection = {}
Connection.__index = Connection

--- Sends the first line of a request; it leaves with the fields.
---
--- `c:sendrequestline("GET", "/")`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@param method string?
---@param uri string
function Connection:sendrequestline(method, uri)
  local line = (method or "GET") .. " " .. uri .. " HTTP/1.1"
  if line:find("[%z\r\n]") then self.try(nil, "invalid request line") end
  self.line = line .. "\r\n"
  return 1
end

--- Sends the fields of a request.
---
--- `c:sendrequestline("GET", "/")`
--- `c:sendheaders({ host = "localhost" })`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param fields table<string, string|number>
function Connection:sendheaders(fields)
  local lines = {}
  for name, value in pairs(fields) do
    local line = canonic[tostring(name)] .. ": " .. tostring(value)
    if line:find("[%z\r\n]") then self.try(nil, "invalid header '" .. tostring(name) .. "'") end
    lines[#lines + 1] = line .. "\r\n"
  end
  table.sort(lines)
  local head = (self.line or "") .. table.concat(lines) .. "\r\n"
  self.line = nil
  self.try(self.c:send(head))
  return 1
end

--- Sends a body: as it is if the fields tell its length, else in chunks.
---
--- ```lua
--- c:sendrequestline("PUT", "/")
--- c:sendheaders({ ["content-length"] = 2 })
--- c:sendbody({ ["content-length"] = 2 }, ltn12.source.string("hi"))
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param fields table<string, string|number>
---@param source ltn12.Source?
---@param step function?
function Connection:sendbody(fields, source, step)
  local mode = fields["content-length"] and "keep-open" or "http-chunked"
  local sink = socket.sink(mode, self.c)
  return self.try(ltn12.pump.all(source or ltn12.source.empty(), sink, step))
end

--- Receives the first line of a response.
---
--- ```lua
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- c:receivestatusline()  --> 200, "HTTP/1.1 200 OK"
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@return integer? code nil: the response has no first line (HTTP/0.9)
---@return string status the line, or what came instead
function Connection:receivestatusline()
  local status, reason, partial = self.c:receive(5)
  if not status then
    if partial and #partial > 0 and reason == "closed" then return nil, partial end
    self.try(nil, reason)
  end
  if status ~= "HTTP/" then return nil, status end
  status = self.try(self.c:receive("*l", status))
  local version, code = status:match("^HTTP/(%d+%.?%d*)%s+(%d%d%d)")
  self.version = version
  return self.try(tonumber(code), "malformed status line"), status
end

-- The lines up to the next empty one.
local function receive_fields(c)
  local lines, size = {}, 0
  while true do
    local line, reason = c:receive("*l")
    if not line then return nil, reason end
    lines[#lines + 1] = line
    if line == "" then break end
    size = size + #line
    if size > LIMIT then return nil, "response headers too long" end
  end
  lines[#lines + 1] = ""
  return core.fields(table.concat(lines, "\r\n"))
end

--- Receives the fields of a response.
---
--- ```lua
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- c:receivestatusline()
--- c:receiveheaders()  --> { ["content-length"] = "5" }
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@return table<string, string> fields by names in small letters
function Connection:receiveheaders()
  return self.try(receive_fields(self.c))
end

--- Receives the body of a response.
---
--- ```lua
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- c:receivestatusline()
--- local sink, parts = ltn12.sink.table()
--- c:receivebody(c:receiveheaders(), sink)
--- parts  --> { "hello" }
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param fields table<string, string> of the response; gets those that follow the body
---@param sink ltn12.Sink
---@param step function?
function Connection:receivebody(fields, sink, step)
  local length = tonumber(fields["content-length"])
  local encoding = fields["transfer-encoding"]
  local source
  if encoding and encoding:lower() ~= "identity" then
    source = socket.source("http-chunked", self.c, fields)
  elseif length then
    source = socket.source("by-length", self.c, length)
  else
    source = socket.source("until-closed", self.c)
    self.until_closed = true
  end
  self.try(ltn12.pump.all(source, sink, step))
  self.complete = not self.until_closed
  return 1
end

--- Receives the rest of a response that has no first line.
---
--- ```lua
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- local sink, parts = ltn12.sink.table()
--- c:receive09body("", sink)
--- table.concat(parts):match("hello")  --> "hello"
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param beginning string what has been received of it
---@param sink ltn12.Sink
---@param step function?
function Connection:receive09body(beginning, sink, step)
  local source = ltn12.source.rewind(socket.source("until-closed", self.c))
  source(beginning)
  return self.try(ltn12.pump.all(source, sink, step))
end

--- Closes the connection.
---
--- `c:close()  --> 1`
function Connection:close() return self.c:close() end

socket.sinkt["http-chunked"] = function(sock)
  return function(chunk)
    if not chunk then return sock:send("0\r\n\r\n") end
    if chunk == "" then return 1 end
    return sock:send(("%X\r\n"):format(#chunk) .. chunk .. "\r\n")
  end
end

socket.sourcet["http-chunked"] = function(sock, fields)
  local left, ended = 0, false
  return function()
    if ended then return nil end
    if left == 0 then
      local line, reason = sock:receive("*l")
      if not line then return nil, reason end
      left = tonumber(line:match("^%s*(%x+)%s*$") or line:match("^%s*(%x+)%s*;") or "", 16)
      if not left then return nil, "invalid chunk size" end
      if left == 0 then
        ended = true
        local trailers
        trailers, reason = receive_fields(sock)
        if not trailers then return nil, reason end
        for name, value in pairs(trailers) do
          fields[name] = fields[name] and fields[name] .. ", " .. value or value
        end
        return nil
      end
    end
    local chunk, reason = sock:receive(math.min(left, PIECE))
    if not chunk then return nil, reason end
    left = left - #chunk
    if left == 0 then
      local rest
      rest, reason = sock:receive("*l")
      if rest ~= "" then return nil, reason or "invalid chunk" end
    end
    return chunk
  end
end

--- Connects.
---
--- `connection.open("localhost", 80, socket.tcp, 60)`
---@async
---@param host string
---@param port integer
---@param create fun(): table?, string?
---@param timeout number? seconds of each step
---@return socket.http.Connection
function M.open(host, port, create, timeout)
  local self = setmetatable({ c = socket.try(create()) }, Connection)
  self.try = socket.newtry(function() self:close() end)
  self.try(self.c:settimeout(timeout))
  self.try(self.c:connect(host, port))
  return self
end

-- The connections that are kept, by server.
local pool = {}

-- Requests with the same key may share a connection.
local function key_of(request)
  local proxy = request.proxy
  local key = { request.scheme, request.host:lower(), request.port }
  if proxy then key[#key + 1] = proxy.authority or proxy.host end
  if request.scheme == "https" then key[#key + 1] = require("ssl.https").identity(request) end
  return table.concat(key, " ")
end

-- Nothing has come, not even the end.
local function is_quiet(c)
  c:settimeout(0)
  local data, reason = c:receive(1)
  return not data and (reason == "timeout" or reason == "wantread")
end

--- Makes a connection for a request.
---@async
---@param request table as `socket.http` completes it
---@param settings {TIMEOUT: number?}
---@return socket.http.Connection
function M.new(request, settings)
  local host, port = request.host, request.port
  if request.proxy and request.scheme == "http" then
    host, port = request.proxy.host, request.proxy.port
    if not host then socket.try(nil, "invalid proxy") end
  end
  return M.open(host, port, request.create, settings.TIMEOUT)
end

--- A connection for a request: one that was kept, if there is one, or a new one.
---@async
---@param request table as `socket.http` completes it
---@param settings {TIMEOUT: number?}
---@return socket.http.Connection
function M.get(request, settings)
  local kept = request.pooled and pool[key_of(request)]
  while kept and #kept > 0 do
    local self = table.remove(kept)
    if socket.gettime() < self.expires and is_quiet(self.c) then
      self.c:settimeout(settings.TIMEOUT)
      self.reused, self.complete = true, nil
      return self
    end
    self:close()
  end
  return M.new(request, settings)
end

--- Keeps a connection after a response, or closes it.
---@param self socket.http.Connection
---@param request table
---@param headers table<string, string>
---@param settings {KEEPALIVE: number}
function M.put(self, request, headers, settings)
  local says = (headers.connection or ""):lower()
  local stays = self.version == "1.1" and not says:find("close", 1, true)
    or says:find("keep-alive", 1, true)
  if not (request.pooled and stays and self.complete) then
    self:close()
    return
  end
  local key = key_of(request)
  local kept = pool[key] or {}
  pool[key] = kept
  self.expires = socket.gettime() + settings.KEEPALIVE
  kept[#kept + 1] = self
  if #kept > KEPT then table.remove(kept, 1):close() end
end

--- Closes all connections that are kept.
---
--- `connection.close_idle()`
function M.close_idle()
  for _, kept in pairs(pool) do
    for _, self in ipairs(kept) do self:close() end
  end
  pool = {}
end

return M
