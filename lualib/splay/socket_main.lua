--- LuaSocket 3 made cooperative: what waits suspends the calling thread and no other. A node
--- `{ip=, port=}` is accepted wherever an ip and a port are. Objects and functions are native
--- (`splay.socket_core`); see `meta/socket.lua` for the methods of socket objects.
---
--- ```lua
--- local server = assert(socket.bind("*", 20000))
--- events.thread(function() server:accept():send("hello\n") end)
--- socket.connect("127.0.0.1", 20000):receive()  --> "hello"
--- ```
local core = require "splay.socket_core"

---@class splay.Node
---@field ip string
---@field port integer|string

---@class splay.socket
local M = {
  _VERSION = "LuaSocket 3.1.0",
  _DEBUG = false,
  --- Sockets are not limited to the descriptors of one `select`.
  _SETSIZE = 1048576,
  --- Bytes taken by a datagram `receive` without size.
  _DATAGRAMSIZE = 8192,
  --- Bytes of a chunk of `socket.source`.
  BLOCKSIZE = 2048,
  dns = core.dns, select = core.select, sleep = core.sleep, gettime = core.gettime,
  skip = core.skip, tcp = core.tcp, tcp4 = core.tcp4, tcp6 = core.tcp6,
  udp = core.udp, udp4 = core.udp4, udp6 = core.udp6,
}

local function connect(new, ip, port, lip, lport)
  local s, reason = new()
  if not s then return nil, reason end
  local ok = true
  if lip then
    ok, reason = s:bind(lip, lport)
  end
  if ok then
    ok, reason = s:connect(ip, port)
  end
  if ok then return s end
  s:close()
  return nil, reason
end

--- Connects to a host, from a local address if one is given.
---
--- `socket.connect({ip = "127.0.0.1", port = 20000})  --> #SE (TCP): 0x...`
---@async
---@param ip string|splay.Node host, or node (then there is no `port`)
---@param port integer|string|nil
---@param lip string|splay.Node? local address, or node (then there is no `lport`)
---@param lport integer|string|nil
---@param family string? "inet", "inet6" or "unspec"
---@return splay.Tcp? s nil, "reason"
---@return string? reason
function M.connect(ip, port, lip, lport, family)
  if type(ip) == "table" then
    ip, port, lip, lport, family = ip.ip, ip.port, port, lip, lport
  end
  if type(lip) == "table" then
    lip, lport, family = lip.ip, lip.port, lport
  end
  local new = family == "inet" and core.tcp4 or family == "inet6" and core.tcp6 or core.tcp
  return connect(new, ip, port, lip, lport or 0)
end

local function of_family(family)
  return function(ip, port, lip, lport)
    if type(ip) == "table" then ip, port, lip, lport = ip.ip, ip.port, port, lip end
    if type(lip) == "table" then lip, lport = lip.ip, lip.port end
    return M.connect(ip, port, lip, lport, family)
  end
end

--- `socket.connect` over IPv4 alone.
---@type fun(ip: string|splay.Node, port: integer|string|nil, ...): splay.Tcp?, string?
M.connect4 = of_family "inet"

--- `socket.connect` over IPv6 alone.
---@type fun(ip: string|splay.Node, port: integer|string|nil, ...): splay.Tcp?, string?
M.connect6 = of_family "inet6"

--- Makes a listening socket. The port can be used again as soon as the socket is closed.
---
--- `socket.bind("*", 20000)  --> #SE (TCP): 0x...`
---@param ip string|splay.Node address, `"*"` for all, or node (then there is no `port`)
---@param port integer|string|nil 0 lets the system choose
---@param backlog integer? connections that may wait to be accepted
---@return splay.Tcp? s nil, "reason"
---@return string? reason
function M.bind(ip, port, backlog)
  if type(ip) == "table" then ip, port, backlog = ip.ip or "*", ip.port, port end
  local s, reason = core.tcp()
  if not s then return nil, reason end
  s:setoption("reuseaddr", true)
  local ok
  ok, reason = s:bind(ip, port)
  if ok then
    ok, reason = s:listen(backlog)
  end
  if ok then return s end
  s:close()
  return nil, reason
end

-- try, newtry, protect, choose, sink, source and headers are loaded when first asked for.
setmetatable(M, {
  __index = function(t, name)
    if name == "headers" then return require "socket.headers" end
    local more = require "splay.socket_more"
    if rawget(t, "try") == nil then
      for key, value in pairs(more) do rawset(t, key, value) end
    end
    return more[name]
  end,
})

if core.restricted() then require("splay.restricted_socket").wrap(M) end

return M
