---@meta splay.socket
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.socket
local M = {}

--- Sockets are not limited to the descriptors of one `select`.
M._SETSIZE = 1048576

--- Bytes taken by a datagram `receive` without size.
M._DATAGRAMSIZE = 8192

--- Bytes of a chunk of `socket.source`.
M.BLOCKSIZE = 2048

--- Names and addresses of hosts, in functions of its own.
---@type table<string, function>
M.dns = nil

--- Makes a TCP socket, of the family of the first address it is given.
---
--- `socket.tcp():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Tcp? s nil, "reason"
---@return string? reason
function M.tcp() end

--- Makes a TCP socket for IPv4.
---
--- `socket.tcp4():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Tcp? s nil, "reason"
---@return string? reason
function M.tcp4() end

--- Makes a TCP socket for IPv6.
---
--- `socket.tcp6():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Tcp? s nil, "reason"
---@return string? reason
function M.tcp6() end

--- Makes a UDP socket, of the family of the first address it is given.
---
--- `socket.udp():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Udp? s nil, "reason"
---@return string? reason
function M.udp() end

--- Makes a UDP socket for IPv4.
---
--- `socket.udp4():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Udp? s nil, "reason"
---@return string? reason
function M.udp4() end

--- Makes a UDP socket for IPv6.
---
--- `socket.udp6():close()  --> 1`
---
--- Errors: `nil, "reason"`: "Too many open files", "restricted".
---@return splay.Udp? s nil, "reason"
---@return string? reason
function M.udp6() end

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
function M.select(readers, writers, timeout) end

--- Suspends the current thread, as `events.sleep`.
---
--- `socket.sleep(0.1)`
---@async
---@param seconds number
function M.sleep(seconds) end

--- Seconds since 1970, with a fraction.
---
--- `socket.gettime()  --> such as 1700000000.123456`
---@return number seconds
function M.gettime() end

--- Drops the first of its arguments.
---
--- `socket.skip(1, "a", "b", "c")  --> "b", "c"`
---@param n integer how many
---@param ... any
---@return any ... the others
function M.skip(n, ...) end

--- Looks an address up.
---
--- `socket.dns.toip("127.0.0.1")  --> "127.0.0.1", ...`
---
--- Errors: `nil, "host not found"`.
---@async
---@param host string
---@return string? ip nil, "host not found"
---@return table|string resolved `name`, `alias` and `ip` (all of them), or the reason
function M.dns.toip(host) end

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
function M.dns.tohostname(ip) end

--- Looks all addresses up, of both families.
---
--- `socket.dns.getaddrinfo("127.0.0.1")[1].addr  --> "127.0.0.1"`
---
--- Errors: `nil, "reason"`.
---@async
---@param host string
---@return {family: string, addr: string}[]? addresses nil, "reason"
---@return string? reason
function M.dns.getaddrinfo(host) end

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
function M.dns.getnameinfo(ip) end

--- Name of this machine.
---
--- `type(socket.dns.gethostname())  --> "string"`
---@return string name
function M.dns.gethostname() end

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
function M.connect(ip, port, lip, lport, family) end

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
function M.connect4(ip, port, lip, lport) end

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
function M.connect6(ip, port, lip, lport) end

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
function M.bind(ip, port, backlog) end

--- What `sink` chooses from: makers of sinks by name.
---@type table<string, fun(s: splay.Tcp): ltn12.Sink>
M.sinkt = nil

--- What `source` chooses from: makers of sources by name.
---@type table<string, fun(s: splay.Tcp, length: integer?): ltn12.Source>
M.sourcet = nil

--- Makes a function like `socket.try` that calls `finalizer` before it raises.
---
--- `local try = socket.newtry(function() print("closing") end)`
--- `pcall(try, nil, "no")  --> false, ...`
---
--- Errors: none; the function it makes raises the second argument if the first is nil or false.
---@param finalizer function?
---@return fun(...): ...
function M.newtry(finalizer) end

--- Returns its arguments, or raises the second if the first is nil or false; to be used inside
--- a function given to `socket.protect`.
---
--- ```lua
--- socket.protect(function() return socket.try(socket.connect("127.0.0.1", 1)) end)()
---   --> nil, "connection refused"
--- ```
---
--- Errors: raises the second argument if the first is nil or false.
---@param ... any
---@return ...
function M.try(...) end

--- Makes a function that returns `nil, "reason"` where `f` raises an error of `try`. It may wait.
---
--- `socket.protect(function() socket.try(nil, "no") end)()  --> nil, "no"`
---@generic F: function
---@param f F
---@return F
function M.protect(f) end

--- Makes a function that calls the entry of `t` that its first argument names.
---
--- ```lua
--- local function same(x) return x end
--- local f = socket.choose({ default = function() return "d" end, other = same })
--- f("other", 1), f()  --> 1, "d"
--- ```
---
--- Errors: none; the function it makes raises for unknown names.
---@param t table<string, function>
---@return fun(name: string?, ...): any
function M.choose(t) end

--- Makes an LTN12 sink that sends to a socket: "close-when-done" or "keep-open".
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 20304))
--- local c = socket.connect("127.0.0.1", 20304)
--- ltn12.pump.all(ltn12.source.string("hello"), socket.sink("close-when-done", c))  --> 1
--- server:accept():receive("*a")                                                    --> "hello"
--- ```
---@param mode string?
---@param s splay.Tcp
---@return function
function M.sink(mode, s) end

--- Makes an LTN12 source that receives from a socket: "by-length" or "until-closed".
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 20305))
--- local c = socket.connect("127.0.0.1", 20305)
--- server:accept():send("hello")
--- socket.source("by-length", c, 5)()  --> "hello"
--- ```
---@param mode string?
---@param s splay.Tcp
---@param length integer?
---@return function
function M.source(mode, s, length) end

return M
