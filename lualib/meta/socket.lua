---@meta
-- Editor stubs of the native socket objects (`splay.socket_core`).

---@class splay.Tcp
local Tcp = {}

--- Connects; host names are looked up without keeping other threads.
---@async
---@param ip string|splay.Node host, or node (then there is no `port`)
---@param port integer|string|nil
---@return integer? one nil, "timeout" or another reason
---@return string? reason
function Tcp:connect(ip, port) end

--- Binds to a local address; `"*"` is any, port 0 lets the system choose.
---@param ip string|splay.Node
---@param port integer|string|nil
---@return integer? one
---@return string? reason
function Tcp:bind(ip, port) end

--- Makes a bound socket accept connections.
---@param backlog integer? connections that may wait to be accepted
---@return integer? one
---@return string? reason
function Tcp:listen(backlog) end

--- Waits for a connection. It has no timeout at first.
---@async
---@return splay.Tcp? s
---@return string? reason
function Tcp:accept() end

--- Sends `data:sub(i, j)` as a whole.
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
---@async
---@param pattern string|integer|nil "*l" if absent
---@param prefix string?
---@return string? data nil, "closed" or "timeout", what had come
---@return string? reason
---@return string? partial
function Tcp:receive(pattern, prefix) end

--- Ends one direction ("send", "receive") or "both".
---@param how string?
---@return integer one
function Tcp:shutdown(how) end

---@class splay.Udp
local Udp = {}

--- Sends a datagram; never waits but for a host name.
---@async
---@param data string
---@param ip string|splay.Node host, or node (then there is no `port`)
---@param port integer|string|nil
---@return integer? bytes
---@return string? reason
function Udp:sendto(data, ip, port) end

--- Sends a datagram to the peer set by `setpeername`.
---@param data string
---@return integer? bytes
---@return string? reason
function Udp:send(data) end

--- Waits for a datagram and cuts it to `size`.
---@async
---@param size integer? 8192 if absent
---@return string? data
---@return string? reason
function Udp:receive(size) end

--- As `receive`, and tells the sender.
---@async
---@param size integer? 8192 if absent
---@return string? data
---@return string? ip the reason where there is no data
---@return integer? port
function Udp:receivefrom(size) end

--- Fixes the peer; `"*"` forgets it.
---@async
---@param ip string|splay.Node
---@param port integer|string|nil
---@return integer? one
---@return string? reason
function Udp:setpeername(ip, port) end

--- Binds to a local address.
---@param ip string|splay.Node
---@param port integer|string|nil
---@return integer? one
---@return string? reason
function Udp:setsockname(ip, port) end

--- Limits the time of each operation; nil: no limit, 0: what can be done at once.
---@param seconds number?
---@return boolean ok
function Tcp:settimeout(seconds) end
Udp.settimeout = Tcp.settimeout

--- The limit set by `settimeout`, -1 if there is none.
---@return number seconds
---@return number total always -1
function Tcp:gettimeout() end
Udp.gettimeout = Tcp.gettimeout

--- Local address.
---@return string? ip
---@return integer|string port the reason where there is no address
---@return string? family "inet" or "inet6"
function Tcp:getsockname() end
Udp.getsockname = Tcp.getsockname

--- Address of the peer.
---@return string? ip
---@return integer|string port the reason where there is no peer
---@return string? family "inet" or "inet6"
function Tcp:getpeername() end
Udp.getpeername = Tcp.getpeername

--- Sets an option under LuaSocket's name.
---@param name string
---@param value boolean|number|string|table
---@return integer? one
---@return string? reason
function Tcp:setoption(name, value) end
Udp.setoption = Tcp.setoption

--- Reads an option under LuaSocket's name.
---@param name string
---@return any value
---@return string? reason
function Tcp:getoption(name) end
Udp.getoption = Tcp.getoption

--- Bytes received and sent, and the socket's age in seconds.
---@return integer received
---@return integer sent
---@return number age
function Tcp:getstats() end
Udp.getstats = Tcp.getstats

--- Sets what `getstats` counts from.
---@param received integer?
---@param sent integer?
---@param age number?
---@return integer one
function Tcp:setstats(received, sent, age) end
Udp.setstats = Tcp.setstats

--- "inet" or "inet6".
---@return string
function Tcp:getfamily() end
Udp.getfamily = Tcp.getfamily

--- Number of the system's descriptor, -1 where there is none.
---@return integer
function Tcp:getfd() end
Udp.getfd = Tcp.getfd

--- Gives the socket up; only -1 can be set.
---@param fd integer
function Tcp:setfd(fd) end
Udp.setfd = Tcp.setfd

--- Whether received bytes wait in the object.
---@return boolean
function Tcp:dirty() end
Udp.dirty = Tcp.dirty

--- Closes the socket; threads that wait on it get `nil, "closed"`.
---@return integer one
function Tcp:close() end
Udp.close = Tcp.close
