-- Servers within the program that tests them.
local events = require "splay.events"
local socket = require "socket"

local M = {}

-- Serves each connection in a thread of its own with `session(c)`; returns the port, and the
-- listening socket, which ends the server when it is closed.
function M.start(session)
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  events.thread(function()
    while true do
      local c = server:accept()
      if not c then return end
      events.thread(function()
        c:settimeout(20)
        session(c)
        c:close()
      end)
    end
  end)
  return port, server
end

-- Reads an HTTP request: {method, uri, version, headers, body}, or nil at the end.
function M.read_request(c)
  local line = c:receive()
  if not line then return nil end
  local request = { headers = {} }
  request.method, request.uri, request.version = line:match("^(%S+) (%S+) HTTP/(%S+)$")
  while true do
    line = c:receive()
    if not line then return nil end
    if line == "" then break end
    local name, value = line:match("^([^:]+): (.*)$")
    request.headers[name:lower()] = value
  end
  local length = tonumber(request.headers["content-length"])
  if length then
    request.body = c:receive(length)
  elseif request.headers["transfer-encoding"] == "chunked" then
    local parts = {}
    repeat
      local size = tonumber(c:receive(), 16)
      parts[#parts + 1] = size > 0 and c:receive(size) or ""
      c:receive()
    until size == 0
    request.body, request.chunks = table.concat(parts), #parts - 1
  end
  return request
end

-- An HTTP server: `respond(request, c)` returns what is sent, or nil to close.
function M.http(respond, wrap)
  return M.start(function(c)
    if wrap then
      c = wrap(c)
      if not c then return end
    end
    while true do
      local request = M.read_request(c)
      if not request then break end
      local answer = respond(request, c)
      if not answer then break end
      if not c:send(answer) then break end
    end
    c:close()
  end)
end

-- A response with a body of known length.
function M.response(body, code, fields)
  return ("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s"):format(
    code or "200 OK", #body, fields or "", body)
end

return M
