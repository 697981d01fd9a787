--- A store with etcd's v2 API within the program, part of `splay.etcd`: HTTP over its own sockets,
--- so that it runs in a simulation too.
local events = require "splay.events"
local socket = require "socket"
local core = require "splay.etcd_core"

local M = {}

--- Bytes of a line, and of all lines of a head, that are too many.
local LIMIT = 65536
--- Bytes of a body that are too many.
local MOST_BODY = 10485760
--- Seconds between looks for keys that have come to their end, as in etcd.
local SWEEP = 0.5

--- `local server = etcd.serve(2379)`
---@class splay.etcd.Server
---@field port integer
local Server = {}
Server.__index = Server

local BAD = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
  .. "Content-Length: 15\r\nConnection: close\r\n\r\n400 Bad Request"

local function chunk(body) return ("%x\r\n"):format(#body) .. body .. "\r\n" end

-- The method, target and fields of a request; false if it is none, nil at the end.
local function receive_head(c)
  local line, reason
  repeat line, reason = c:receive("*l") until line ~= ""
  if not line then return nil, reason end
  local method, target, version = line:match("^(%u+) (%S+) HTTP/1%.([01])$")
  if not method then return false end
  local fields, size = {}, #line
  while true do
    line, reason = c:receive("*l")
    if not line then return nil, reason end
    if line == "" then break end
    size = size + #line
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if not name or size > LIMIT then return false end
    fields[name:lower()] = value
  end
  return method, target, fields, version
end

local function receive_chunks(c)
  local parts, size = {}, 0
  while true do
    local line, reason = c:receive("*l")
    local length = line and tonumber(line:match("^%s*(%x+)") or "", 16)
    size = size + (length or 0)
    if not length or size > MOST_BODY then return nil, reason or "invalid chunk" end
    if length == 0 then
      repeat line = c:receive("*l") until not line or line == ""
      return table.concat(parts)
    end
    parts[#parts + 1] = c:receive(length)
    if not c:receive("*l") then return nil, "closed" end
  end
end

local function receive_body(c, fields)
  if (fields.expect or ""):lower() == "100-continue" then
    c:send("HTTP/1.1 100 Continue\r\n\r\n")
  end
  if (fields["transfer-encoding"] or ""):lower() == "chunked" then return receive_chunks(c) end
  local length = tonumber(fields["content-length"] or 0)
  if not length or length < 0 or length > MOST_BODY then return nil, "invalid length" end
  if length == 0 then return "" end
  return c:receive(length)
end

-- Hands on what watchers are to be told.
local function tell(self)
  local list = core.notices(self.store)
  if not list then return end
  for i = 1, #list, 3 do
    local watcher = self.watchers[list[i]]
    if watcher then
      watcher[#watcher + 1] = list[i + 1]
      if list[i + 2] then
        watcher.last = true
        self.watchers[list[i]] = nil
      end
      events.fire(watcher)
    end
  end
end

-- Keys end at a time of their own; there is a thread for that as long as some will.
local function sweep(self)
  if self.sweeper or not core.expire(self.store) then return end
  self.sweeper = events.thread(function()
    repeat
      events.sleep(SWEEP)
      local more = not self.stopped and core.expire(self.store)
      if not self.stopped then tell(self) end
    until not more
    self.sweeper = nil
  end)
end

-- Nobody listens to a watcher any more.
local function forget(self, id)
  if not self.watchers[id] then return end
  self.watchers[id] = nil
  if not self.stopped then core.unwatch(self.store, id) end
end

-- Sends what a watcher is told until it is over or the client has gone; whether all is well.
local function follow(self, c, id, watcher)
  local sentinel = events.thread(function()
    -- A client sends nothing before the answer is over: what comes is the end.
    local _, reason = c:receive(1)
    if reason ~= "timeout" then
      watcher.gone = true
      events.fire(watcher)
    end
  end)
  local sent = 0
  while true do
    while sent < #watcher do
      sent = sent + 1
      if not c:send(chunk(watcher[sent])) then watcher.gone = true end
      watcher[sent] = false
    end
    if watcher.gone or watcher.last then break end
    events.wait(watcher)
  end
  events.kill(sentinel)
  forget(self, id)
  return not watcher.gone and c:send("0\r\n\r\n")
end

-- Answers one request; whether another may follow.
local function answer(self, c)
  local method, target, fields, version = receive_head(c)
  if method == nil then return false end
  local body = method and receive_body(c, fields)
  if not body then
    c:send(BAD)
    return false
  end
  local says = (fields.connection or ""):lower()
  local stays = version == "1" and not says:find("close", 1, true)
    or says:find("keep-alive", 1, true)
  if self.stopped then return false end
  local reply, id, stream, first =
    core.handle(self.store, method, target, fields["content-type"], body, not stays)
  if method == "PUT" or method == "POST" or method == "DELETE" then
    tell(self)
    sweep(self)
  end
  local watcher = id and { first, last = first and not stream }
  -- Before the head is sent: that may take a while, in which things happen.
  if id and not first then self.watchers[id] = watcher end
  if not c:send(reply) then
    if id then forget(self, id) end
    return false
  end
  if id and not follow(self, c, id, watcher) then return false end
  return stays
end

--- Ends it: it accepts nothing more, connections are closed, what was in it is gone.
---
--- `etcd.serve(2390):stop()`
function Server:stop()
  if self.stopped then return end
  self.stopped = true
  self.listener:close()
  events.kill(self.thread)
  for c in pairs(self.clients) do c:close() end
  core.close(self.store)
end

--- Makes one; see `splay.etcd`.
---@param port integer|table
---@param name string?
---@return splay.etcd.Server? server nil, "reason"
---@return string? reason
function M.serve(port, name)
  local ip = "*"
  if type(port) == "table" then ip, port = port.ip or "*", port.port end
  local listener, reason = socket.bind(ip, port, 1024)
  if not listener then return nil, reason end
  listener:settimeout(nil)
  local _, bound = listener:getsockname()
  local host = ip == "*" and "127.0.0.1" or ip
  local store
  store, reason = core.open(name or "default", ("http://%s:%d"):format(host, bound))
  if not store then
    listener:close()
    return nil, reason
  end
  local self = setmetatable({
    port = tonumber(bound), listener = listener, store = store, watchers = {}, clients = {},
  }, Server)
  self.thread = events.thread(function()
    while true do
      local c, why = listener:accept()
      if c then
        self.clients[c] = true
        events.thread(function()
          c:settimeout(nil)
          c:setoption("tcp-nodelay", true)
          repeat until not answer(self, c)
          c:close()
          self.clients[c] = nil
        end)
      elseif why == "closed" then
        return
      else
        events.sleep(0.1) -- out of descriptors, say: do not spin
      end
    end
  end)
  return self
end

return M
