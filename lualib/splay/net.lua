--- TCP servers and clients made of handler functions, and UDP servers. Waits, reads and writes are
--- those of the cooperative sockets.
---
--- ```lua
--- net.server(20200, function(s)
---   for line in function() return s:receive("*l") end do s:send(line .. "\n") end
--- end)
--- local c = socket.connect("127.0.0.1", 20200)
--- c:send("hello\n")
--- c:receive()  --> "hello"
--- ```
---
--- Since: 0.1
--- Manual: 'splay.net'
local events = require "splay.events"
local socket = require "splay.socket"
local log = require "splay.log"

local type, pcall, tostring, tonumber = type, pcall, tostring, tonumber

local M = {}

--- `timeout`: of each operation on a client's socket; `connect_timeout`: of connecting. Seconds.
---
--- `net.settings.timeout = 60`
---@type { timeout: number, connect_timeout: number }
M.settings = { timeout = 600, connect_timeout = 60 }

local l_o = log.new(3, "[splay.net]")

--- The module's log object: what handlers raise is a warning.
---
--- `net.l_o.level = 4`
---
--- Manual: 'splay.log (and splay.out)'
---@type splay.log.Object
M.l_o = l_o

---@class splay.net.Handlers
---@field receive nil|fun(s: table, connect: true?) or position 1
---@field send nil|fun(s: table, connect: true?) or position 2
---@field initialize nil|fun(s: table, connect: true?): any or position 3; false ends the connection
---@field finalize nil|fun(s: table, connect: true?) or position 4

---@class splay.net.Server
---@field port integer
---@field ip string
---@field socket table
---@field thread string?
---@field active integer connections being handled
---@field clients table<table, string> threads by socket
---@field free table event: a connection ended

---@type splay.net.Server[]
local servers = {}

local function protected(what, f, sock, connect)
  local ok, result = pcall(f, sock, connect)
  if ok then return true, result end
  M.l_o:warn(what .. ": " .. tostring(result))
  return false
end

-- Receive and send each in a thread; the first to end ends both.
local function run_both(receive, send, sock, connect)
  local ended = {}
  local function body(what, f)
    return events.thread(function()
      protected(what, f, sock, connect)
      events.fire(ended)
    end)
  end
  local receiver, sender = body("receive", receive), body("send", send)
  -- Killed from outside, a thread does not fire: look from time to time.
  while not events.wait(ended, 5) do
    if events.dead(receiver) or events.dead(sender) then break end
  end
  events.kill(receiver)
  events.kill(sender)
end

---@param handler function|splay.net.Handlers
local function handle(handler, sock, connect)
  if type(handler) == "function" then
    protected("handler", handler, sock, connect)
    return
  end
  local initialize = handler.initialize or handler[3]
  if initialize then
    local ok, go_on = protected("initialize", initialize, sock, connect)
    if not ok or go_on == false then return end
  end
  local receive, send = handler.receive or handler[1], handler.send or handler[2]
  if receive and send then
    run_both(receive, send, sock, connect)
  elseif receive or send then
    protected(receive and "receive" or "send", receive or send, sock, connect)
  end
  local finalize = handler.finalize or handler[4]
  if finalize then protected("finalize", finalize, sock, connect) end
end

local function is_handler(v)
  return type(v) == "function" or (type(v) == "table" and v.port == nil)
end

-- Waits until fewer than `max` connections are being handled.
local function wait_for_place(server, max)
  while server.active >= max do
    if not events.wait(server.free, 1) then
      -- Threads killed from outside never report their end.
      for sock, thread in pairs(server.clients) do
        if events.dead(thread) then
          server.clients[sock] = nil
          server.active = server.active - 1
          sock:close()
        end
      end
    end
  end
end

local function serve(server, sock, handler, keep_open)
  server.active = server.active + 1
  server.clients[sock] = events.thread(function()
    handle(handler, sock)
    if not keep_open then sock:close() end
    if server.clients[sock] then
      server.clients[sock] = nil
      server.active = server.active - 1
    end
    events.fire(server.free)
  end)
end

local function accept_loop(server, handler, max, filter, keep_open)
  while true do
    if max then wait_for_place(server, max) end
    local sock, reason = server.socket:accept()
    if sock then
      if filter and not filter(sock:getpeername()) then
        sock:close()
      else
        serve(server, sock, handler, keep_open)
      end
    elseif reason == "closed" then
      return
    elseif reason ~= "timeout" then
      M.l_o:warn("accept: " .. tostring(reason))
      events.sleep(0.1) -- out of descriptors, say: do not spin
    end
  end
end

--- Runs a TCP server. `handler(s)` is called in a thread of its own for each connection, which is
--- closed when it returns; or it is a table of callbacks: `receive` and `send` run in two threads,
--- the first to end ends the connection; `initialize` is called before (returning `false` closes
--- the connection at once), `finalize` after.
---
--- ```lua
--- net.server(20201, function(s) s:send("hello\n") end, 10)
---   --> such as "thread: 0x1000000000000001"
--- socket.connect("127.0.0.1", 20201):receive()  --> "hello"
--- ```
---
--- Errors: `nil, "reason"`: "address already in use", "server still not stopped" and others.
--- Manual: 'splay.net'
---@param port integer|string|table port, or node whose ip is bound
---@param handler function|splay.net.Handlers (in either order with `port`)
---@param max integer? connections at the same time
---@param filter nil|fun(ip: string, port: integer): boolean connections it refuses are closed
---@param backlog integer? connections the system may hold waiting
---@return string? thread nil, "reason" if the port cannot be bound
---@return string? reason
function M.server(port, handler, max, filter, backlog)
  if is_handler(port) then port, handler = handler, port end
  if not is_handler(handler) then error("net.server: no handler", 2) end
  local ip = "*"
  if type(port) == "table" then ip, port = port.ip or "*", port.port end
  port = tonumber(port)
  if not port then error("net.server: no port", 2) end
  local keep_open = false
  if filter and type(filter) ~= "function" then
    M.l_o:warn("server: the no_close flag is deprecated")
    keep_open, filter = true, nil
  end
  for _, other in ipairs(servers) do
    if port ~= 0 and other.port == port and other.ip == ip then
      return nil, "server still not stopped"
    end
  end
  local listener, reason = socket.bind(ip, port, backlog)
  if not listener then return nil, reason end
  listener:settimeout(nil)
  local server = {
    port = port, ip = ip, socket = listener, active = 0, clients = {}, free = {},
  }
  server.thread = events.thread(function()
    accept_loop(server, handler, tonumber(max), filter, keep_open)
  end)
  servers[#servers + 1] = server
  return server.thread
end

--- Stops a server: it accepts no more. Unknown ports are ignored.
---
--- `net.server(20202, function(s) s:receive() end)`
--- `net.stop_server(20202, true)`
---
--- Manual: 'splay.net'
---@param port integer|string|table port or node
---@param kill_clients boolean? also end the connections it has
function M.stop_server(port, kill_clients)
  local ip
  if type(port) == "table" then ip, port = port.ip, port.port end
  port = tonumber(port)
  for i = #servers, 1, -1 do
    local server = servers[i]
    if server.port == port and (not ip or server.ip == "*" or server.ip == ip) then
      table.remove(servers, i)
      events.kill(server.thread)
      server.socket:close()
      if kill_clients then
        local clients = server.clients
        server.clients, server.active = {}, 0
        local own = tostring(coroutine.running())
        for sock, thread in pairs(clients) do
          sock:close()
          if thread ~= own then events.kill(thread) end
        end
      end
    end
  end
end

--- Connects to a server, then runs the handlers in a thread of their own; they receive `true` as
--- second argument. The socket is closed when they end.
---
--- ```lua
--- net.server(20203, function(s) s:send("hello\n") end)
--- local function receive(s) print(s:receive()) end
--- net.client({ ip = "127.0.0.1", port = 20203 }, { receive = receive })
--- events.sleep(1)  --> prints hello
--- ```
---
--- Errors: `nil, "reason"` if the connection fails.
--- Manual: 'Callback system'
---@async
---@param ip string|table host, or node (then there is no `port`)
---@param port integer|function|splay.net.Handlers
---@param handlers function|splay.net.Handlers
---@param timeout number? seconds for connecting, default `settings.connect_timeout`
---@return string? thread nil, "reason" if the connection fails
---@return string? reason
function M.client(ip, port, handlers, timeout)
  if type(ip) == "table" then
    ip, port, handlers, timeout = ip.ip, ip.port, port, handlers
  end
  if not is_handler(handlers) then error("net.client: no handlers", 2) end
  local sock, reason = socket.tcp()
  local ok
  if sock then
    sock:settimeout(timeout or M.settings.connect_timeout)
    ok, reason = sock:connect(ip, port)
    if not ok then sock:close() end
  end
  if not ok then
    M.l_o:warn(("client: cannot connect to %s:%s: %s"):format(
      tostring(ip), tostring(port), tostring(reason)))
    return nil, reason
  end
  sock:settimeout(M.settings.timeout)
  return events.thread(function()
    handle(handlers, sock, true)
    sock:close()
  end)
end

-- An event holds one packet until it is taken.
local function fire_packet(event, packet)
  while not events.fire(event, packet) do events.yield() end
end

--- Runs a UDP server. `handler(data, ip, port)` is called in a new thread for each packet. Without
--- handler the event `"udp:<listening port>"` is fired with a table `{data, ip, port}`, which also
--- has the fields `data`, `ip` and `port`, so that it can be used as the sender's node.
---
--- ```lua
--- local u = net.udp_helper(20204, function(data) print(data) end)
--- u.s:sendto("hello", "127.0.0.1", 20204)
--- events.sleep(1)  --> prints hello
--- ```
---
--- Errors: `nil, "reason"` if the port cannot be bound.
--- Manual: 'splay.net'
---@param port integer|string|table port or node
---@param handler nil|fun(data: string, ip: string, port: integer) (in either order with `port`)
---@return {s: table, server: string}? helper its socket and thread; nil, "reason" if not bound
---@return string? reason
function M.udp_helper(port, handler)
  if type(port) == "function" then port, handler = handler, port end
  if type(port) == "table" then port = port.port end
  port = tonumber(port)
  if not port then error("net.udp_helper: no port", 2) end
  local s, reason = socket.udp()
  if not s then return nil, reason end
  local ok
  ok, reason = s:setsockname("*", port)
  if not ok then
    s:close()
    return nil, reason
  end
  local event = "udp:" .. port
  local server = events.thread(function()
    while true do
      local data, ip, from = s:receivefrom()
      if data then
        if handler then
          events.thread(function() handler(data, ip, from) end)
        else
          fire_packet(event, { data, ip, from, data = data, ip = ip, port = from })
        end
      elseif ip == "closed" then
        return
      elseif ip ~= "timeout" then
        M.l_o:debug("udp: " .. tostring(ip))
        events.yield() -- an earlier packet of ours found nobody, say
      end
    end
  end)
  return { s = s, server = server }
end

return M
