--- LuaSocket 3 made cooperative: what waits suspends the calling thread and no other. A node
--- `{ip=, port=}` is accepted wherever an ip and a port are. Objects and functions are native
--- (`splay.socket_core`); see `Tcp` and `Udp` for the methods of socket objects.
---
--- ```lua
--- local server = assert(socket.bind("*", 20000))
--- events.thread(function() server:accept():send("hello\n") end)
--- socket.connect("127.0.0.1", 20000):receive()  --> "hello"
--- ```
local core = require "splay.socket_core"

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
  --- Names and addresses of hosts, in functions of its own.
  ---@type table<string, function>
  dns = core.dns,
}

--- Makes a TCP socket, of the family of the first address it is given.
---
--- `socket.tcp():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Tcp? s nil, "reason"
---@return string? reason
M.tcp = core.tcp

--- Makes a TCP socket for IPv4.
---
--- `socket.tcp4():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Tcp? s nil, "reason"
---@return string? reason
M.tcp4 = core.tcp4

--- Makes a TCP socket for IPv6.
---
--- `socket.tcp6():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Tcp? s nil, "reason"
---@return string? reason
M.tcp6 = core.tcp6

--- Makes a UDP socket, of the family of the first address it is given.
---
--- `socket.udp():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Udp? s nil, "reason"
---@return string? reason
M.udp = core.udp

--- Makes a UDP socket for IPv4.
---
--- `socket.udp4():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Udp? s nil, "reason"
---@return string? reason
M.udp4 = core.udp4

--- Makes a UDP socket for IPv6.
---
--- `socket.udp6():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Udp? s nil, "reason"
---@return string? reason
M.udp6 = core.udp6

--- Waits until a socket of a list can be read from or written to. The lists that are returned can
--- also be asked by socket.
---
--- ```lua
--- local u = socket.udp()
--- u:setsockname("127.0.0.1", 20303)
--- socket.select({ u }, nil, 0.1)                         --> {}, {}, "timeout"
--- socket.udp():sendto("hello", "127.0.0.1", 20303)
--- #socket.select({ u }, nil, 1)  --> 1
--- ```
---
--- Errors: "timeout" as third result.
---@async
---@param readers table[]? sockets, or nil for none
---@param writers table[]? sockets, or nil for none
---@param timeout number? seconds; nil: no limit
---@return table readable those that can be read from
---@return table writable those that can be written to
---@return string? reason "timeout" where there are none
M.select = core.select

--- Suspends the current thread, as `events.sleep`.
---
--- `socket.sleep(0.1)`
---@async
---@param seconds number
M.sleep = core.sleep

--- Seconds since 1970, with a fraction.
---
--- `socket.gettime()  --> such as 1700000000.123456`
---@return number seconds
M.gettime = core.gettime

--- Drops the first of its arguments.
---
--- `socket.skip(1, "a", "b", "c")  --> "b", "c"`
---@param n integer how many
---@param ... any
---@return any ... the others
M.skip = core.skip

--- Looks an address up.
---
--- `socket.dns.toip("127.0.0.1")  --> "127.0.0.1", ...`
---
--- Errors: `nil, "host not found"`.
---@async
---@param host string
---@return string? ip nil, "host not found"
---@return table|string resolved `name`, `alias` and `ip` (all of them), or the reason
M.dns.toip = M.dns.toip

--- Looks a name up by address.
---
--- ```lua not run: machines have different names
--- socket.dns.tohostname("127.0.0.1")  --> "localhost", { name = "localhost", ... }
--- ```
---
--- Errors: `nil, "host not found"`.
---@async
---@param ip string
---@return string? host nil, "host not found"
---@return table|string resolved `name`, `alias` and `ip` (all of them), or the reason
M.dns.tohostname = M.dns.tohostname

--- Looks all addresses up, of both families.
---
--- `socket.dns.getaddrinfo("127.0.0.1")[1].addr  --> "127.0.0.1"`
---
--- Errors: `nil, "reason"`.
---@async
---@param host string
---@return {family: string, addr: string}[]? addresses nil, "reason"
---@return string? reason
M.dns.getaddrinfo = M.dns.getaddrinfo

--- Looks all names up by address.
---
--- ```lua not run: machines have different names
--- socket.dns.getnameinfo("127.0.0.1")  --> { "localhost" }
--- ```
---
--- Errors: `nil, "reason"`.
---@async
---@param ip string
---@return string[]? names nil, "reason"
---@return string? reason
M.dns.getnameinfo = M.dns.getnameinfo

--- Name of this machine.
---
--- `type(socket.dns.gethostname())  --> "string"`
---@return string name
M.dns.gethostname = M.dns.gethostname

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
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 20300))
--- local c = socket.connect({ ip = "127.0.0.1", port = 20300 })
--- c:getpeername()                 --> "127.0.0.1", 20300, "inet"
--- socket.connect("127.0.0.1", 1)  --> nil, "connection refused"
--- ```
---
--- Errors: `nil, "reason"`: "connection refused", "timeout", "host or service not provided, or not
--- known" and others; see [errors](../errors.md).
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
---
--- `local server = assert(socket.bind("127.0.0.1", 20301))`
--- `socket.connect4("127.0.0.1", 20301):getfamily()  --> "inet"`
---
--- Errors: `nil, "reason"`: "connection refused", "timeout", "host or service not provided, or not
--- known" and others; see [errors](../errors.md).
---@param ip string|splay.Node
---@param port integer|string|nil
---@param lip string|splay.Node? local address, or node (then there is no `lport`)
---@param lport integer|string|nil
---@return splay.Tcp?
---@return string?
M.connect4 = of_family "inet"

--- `socket.connect` over IPv6 alone.
---
--- `socket.connect6("::1", 1)  --> nil, "connection refused"`
---
--- Errors: `nil, "reason"`: "connection refused", "timeout", "host or service not provided, or not
--- known" and others; see [errors](../errors.md).
---@param ip string|splay.Node
---@param port integer|string|nil
---@param lip string|splay.Node? local address, or node (then there is no `lport`)
---@param lport integer|string|nil
---@return splay.Tcp?
---@return string?
M.connect6 = of_family "inet6"

--- Makes a listening socket. The port can be used again as soon as the socket is closed.
---
--- `local server = assert(socket.bind("*", 20302))`
--- `socket.bind("*", 20302)  --> nil, "address already in use"`
---
--- Errors: `nil, "reason"`: "address already in use" and others.
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
