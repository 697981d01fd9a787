---@meta
-- The native socket objects (`splay.socket_core`), described by hand.

--- A TCP socket: a connection, or a listening one.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = assert(socket.connect("127.0.0.1", port))
--- local s = server:accept()
--- ```
---@class splay.Tcp
local Tcp = {}

--- Connects; host names are looked up without keeping other threads.
---
--- `socket.tcp():connect("127.0.0.1", port)  --> 1`
--- `socket.tcp():connect("127.0.0.1", 1)     --> nil, "connection refused"`
---
--- Errors: `nil, "reason"`: "connection refused", "timeout", "already connected" and others; see
--- [errors](../errors.md).
---@async
---@param ip string|splay.Node host, or node (then there is no `port`)
---@param port integer|string|nil
---@return integer? one nil, "timeout" or another reason
---@return string? reason
function Tcp:connect(ip, port) end

--- Binds to a local address; `"*"` is any, port 0 lets the system choose.
---
--- `socket.tcp():bind("127.0.0.1", 0)     --> 1`
--- `socket.tcp():bind("127.0.0.1", port)  --> nil, "address already in use"`
---
--- Errors: `nil, "reason"`: "address already in use", "permission denied", "restricted" and others.
---@param ip string|splay.Node
---@param port integer|string|nil
---@return integer? one
---@return string? reason
function Tcp:bind(ip, port) end

--- Makes a bound socket accept connections.
---
--- ```lua
--- local l = socket.tcp()
--- l:bind("127.0.0.1", 0)
--- l:listen(10)  --> 1
--- ```
---
--- Errors: `nil, "reason"`.
---@param backlog integer? connections that may wait to be accepted
---@return integer? one
---@return string? reason
function Tcp:listen(backlog) end

--- Waits for a connection. It has no timeout at first.
---
--- `server:settimeout(0)`
--- `server:accept()  --> nil, "timeout"`
---
--- Errors: `nil, "reason"`: "timeout", "closed", "Too many open files" and others.
---@async
---@return splay.Tcp? s
---@return string? reason
function Tcp:accept() end

--- Sends `data:sub(i, j)` as a whole.
---
--- `c:send("hello\n")  --> 6`
--- `s:receive()        --> "hello"`
---
--- Errors: `nil, "reason", last`: "closed", "timeout", with the index of the last byte that was
--- sent.
---@async
---@param data string|number
---@param i integer?
---@param j integer?
---@return integer? last index of the last byte sent; nil, "closed" or "timeout", last
---@return string? reason
---@return integer? last
function Tcp:send(data, i, j) end

--- Receives a line (`"*l"`, without its end), everything until the end (`"*a"`) or a number of
--- bytes. `prefix` is put before it; with a number it counts.
---
--- ```lua
--- c:send("one\ntwo")
--- s:receive()            --> "one"
--- s:receive(2)           --> "tw"
--- c:close()
--- s:receive("*a", "so")  --> "soo"
--- ```
---
--- Errors: `nil, "reason", partial`: "closed", "timeout", with what had come.
---@async
---@param pattern string|integer|nil "*l" if absent
---@param prefix string?
---@return string? data nil, "closed" or "timeout", what had come
---@return string? reason
---@return string? partial
function Tcp:receive(pattern, prefix) end

--- Ends one direction ("send", "receive") or "both".
---
--- `c:shutdown("send")  --> 1`
--- `s:receive()         --> nil, "closed", ""`
---
--- Errors: `nil, "reason"` where there is no connection.
---@param how string?
---@return integer one
function Tcp:shutdown(how) end

--- A UDP socket.
---
--- ```lua
--- local b, a = socket.udp(), socket.udp()
--- b:setsockname("127.0.0.1", 0)
--- local _, port = b:getsockname()
--- a:setpeername("127.0.0.1", port)
--- ```
---@class splay.Udp
local Udp = {}

--- Sends a datagram; never waits but for a host name.
---
--- `socket.udp():sendto("hello", "127.0.0.1", port)  --> 5`
--- `b:receive()                                      --> "hello"`
---
--- Errors: `nil, "reason"`: "Message too long" and others.
---@async
---@param data string
---@param ip string|splay.Node host, or node (then there is no `port`)
---@param port integer|string|nil
---@return integer? bytes
---@return string? reason
function Udp:sendto(data, ip, port) end

--- Sends a datagram to the peer set by `setpeername`.
---
--- `a:send("hello")  --> 5`
--- `b:receive()      --> "hello"`
---
--- Errors: `nil, "reason"`: "Message too long", "connection refused" and others.
---@param data string
---@return integer? bytes
---@return string? reason
function Udp:send(data) end

--- Waits for a datagram and cuts it to `size`.
---
--- ```lua
--- a:send("hello")
--- b:receive(4)  --> "hell"
--- b:settimeout(0.1)
--- b:receive()   --> nil, "timeout"
--- ```
---
--- Errors: `nil, "reason"`: "timeout", "closed", "connection refused".
---@async
---@param size integer? 8192 if absent
---@return string? data
---@return string? reason
function Udp:receive(size) end

--- As `receive`, and tells the sender.
---
--- `a:send("hello")`
--- `b:receivefrom()  --> "hello", "127.0.0.1", ...`
---
--- Errors: `nil, "reason"`: "timeout", "closed".
---@async
---@param size integer? 8192 if absent
---@return string? data
---@return string? ip the reason where there is no data
---@return integer? port
function Udp:receivefrom(size) end

--- Fixes the peer; `"*"` forgets it.
---
--- `a:setpeername("*")               --> 1`
--- `a:setpeername("127.0.0.1", 9)  --> 1`
---
--- Errors: `nil, "reason"`.
---@async
---@param ip string|splay.Node
---@param port integer|string|nil
---@return integer? one
---@return string? reason
function Udp:setpeername(ip, port) end

--- Binds to a local address.
---
--- `socket.udp():setsockname("*", 0)            --> 1`
--- `socket.udp():setsockname("127.0.0.1", port)  --> nil, "address already in use"`
---
--- Errors: `nil, "reason"`: "address already in use", "restricted" and others.
---@param ip string|splay.Node
---@param port integer|string|nil
---@return integer? one
---@return string? reason
function Udp:setsockname(ip, port) end

--- Limits the time of each operation; nil: no limit, 0: what can be done at once.
---
--- `s:settimeout(0.5)  --> true`
--- `s:receive()        --> nil, "timeout", ""`
---@param seconds number?
---@return boolean ok
function Tcp:settimeout(seconds) end
Udp.settimeout = Tcp.settimeout

--- The limit set by `settimeout`, -1 if there is none.
---
--- `s:settimeout(0.5)`
--- `s:gettimeout()  --> 0.5, -1`
---@return number seconds
---@return number total always -1
function Tcp:gettimeout() end
Udp.gettimeout = Tcp.gettimeout

--- Local address.
---
--- `server:getsockname()  --> "127.0.0.1", ...`
---
--- Errors: `nil, "reason"` where there is no address.
---@return string? ip
---@return integer|string port the reason where there is no address
---@return string? family "inet" or "inet6"
function Tcp:getsockname() end
Udp.getsockname = Tcp.getsockname

--- Address of the peer.
---
--- `c:getpeername()  --> "127.0.0.1", ...`
---
--- Errors: `nil, "reason"` where there is no peer.
---@return string? ip
---@return integer|string port the reason where there is no peer
---@return string? family "inet" or "inet6"
function Tcp:getpeername() end
Udp.getpeername = Tcp.getpeername

--- Sets an option under LuaSocket's name.
---
--- `c:setoption("tcp-nodelay", true)  --> 1`
---
--- Errors: `nil, "setsockopt failed"`. Raises for unknown names.
---@param name string
---@param value boolean|number|string|table
---@return integer? one
---@return string? reason
function Tcp:setoption(name, value) end
Udp.setoption = Tcp.setoption

--- Reads an option under LuaSocket's name.
---
--- `c:setoption("keepalive", true)`
--- `c:getoption("keepalive")  --> true`
---
--- Errors: `nil, "getsockopt failed"`. Raises for unknown names.
---@param name string
---@return any value
---@return string? reason
function Tcp:getoption(name) end
Udp.getoption = Tcp.getoption

--- Bytes received and sent, and the socket's age in seconds.
---
--- `c:send("hello")`
--- `c:getstats()  --> 0, 5, ...`
---@return integer received
---@return integer sent
---@return number age
function Tcp:getstats() end
Udp.getstats = Tcp.getstats

--- Sets what `getstats` counts from.
---
--- `c:setstats(100)  --> 1`
--- `c:getstats()     --> 100, ...`
---@param received integer?
---@param sent integer?
---@param age number?
---@return integer one
function Tcp:setstats(received, sent, age) end
Udp.setstats = Tcp.setstats

--- "inet" or "inet6".
---
--- `c:getfamily()  --> "inet"`
---@return string
function Tcp:getfamily() end
Udp.getfamily = Tcp.getfamily

--- Number of the system's descriptor, -1 where there is none.
---
--- `c:getfd()  --> such as 12`
---@return integer
function Tcp:getfd() end
Udp.getfd = Tcp.getfd

--- Gives the socket up; only -1 can be set.
---
--- `c:setfd(-1)`
---
--- Errors: raises for any other number.
---@param fd integer
function Tcp:setfd(fd) end
Udp.setfd = Tcp.setfd

--- Whether received bytes wait in the object.
---
--- `c:dirty()  --> false`
---@return boolean
function Tcp:dirty() end
Udp.dirty = Tcp.dirty

--- Closes the socket; threads that wait on it get `nil, "closed"`.
---
--- `c:close()    --> 1`
--- `s:receive()  --> nil, "closed", ""`
---@return integer one
function Tcp:close() end
Udp.close = Tcp.close
