---@meta splay.net
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

---@class splay.net
local M = {}

--- `timeout`: of each operation on a client's socket; `connect_timeout`: of connecting. Seconds.
---
--- `net.settings.timeout = 60`
---@type { timeout: number, connect_timeout: number }
M.settings = nil

--- The module's log object: what handlers raise is a warning.
---
--- `net.l_o.level = 4`
---
--- Manual: 'splay.log (and splay.out)'
---@type splay.log.Object
M.l_o = nil

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
function M.server(port, handler, max, filter, backlog) end

--- Stops a server: it accepts no more. Unknown ports are ignored.
---
--- `net.server(20202, function(s) s:receive() end)`
--- `net.stop_server(20202, true)`
---
--- Manual: 'splay.net'
---@param port integer|string|table port or node
---@param kill_clients boolean? also end the connections it has
function M.stop_server(port, kill_clients) end

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
function M.client(ip, port, handlers, timeout) end

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
function M.udp_helper(port, handler) end

return M
