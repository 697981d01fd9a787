---@meta socket.tp
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

--- ```lua
--- net.server(20025, function(s)
---   s:send("220 localhost ready\r\n")
---   for line in function() return s:receive() end do s:send("250 heard " .. line .. "\r\n") end
--- end)
--- local c = assert(tp.connect("127.0.0.1", 20025))
--- ```
---@class socket.tp.Connection
---@field c splay.Tcp|splay.Tls
local Connection = {}

---@class socket.tp
local M = {}

--- Seconds that one step may take.
M.TIMEOUT = 60

--- Receives a reply and checks its code: by a pattern, a list of patterns, or a function that
--- gets code and reply.
---
--- `c:check({ "1..", "2.." })  --> 220, "220 localhost ready"`
---
--- Errors: `nil, "reason"`: what the server replied, "invalid server reply", "server reply too
--- long", or those of the network.
---@async
---@param ok string|number|(string|number)[]|fun(code: integer, reply: string): any, any
---@return any code a number; nil, reply or reason if it is another
---@return any reply
function Connection:check(ok) end

--- Sends a command.
---
--- `c:command("mail", "FROM:<me@localhost>")  --> 26`
--- `c:command("two\r\nlines")                 --> nil, "invalid command"`
---
--- Errors: `nil, "invalid command"` for line ends, or those of the network.
---@async
---@param command string
---@param argument string|number|nil
---@return integer? bytes nil, "reason"
---@return string? reason
function Connection:command(command, argument) end

--- Receives a part of the connection's bytes and gives it to a sink.
---
--- `c:sink(ltn12.sink.null())  --> 1`
---
--- Errors: those of the sink.
---@async
---@param sink ltn12.Sink
---@param pattern string|integer|nil as of `receive`
---@return any ok
---@return any reason
function Connection:sink(sink, pattern) end

--- Sends bytes.
---
--- `c:send("noop\r\n")  --> 6`
---
--- Errors: those of `Tcp:send`.
---@async
---@param data string
---@return integer? last
---@return string? reason
function Connection:send(data) end

--- Receives bytes.
---
--- `c:receive()  --> "220 localhost ready"`
---
--- Errors: those of `Tcp:receive`.
---@async
---@param pattern string|integer|nil
---@return string? data
---@return string? reason
function Connection:receive(pattern) end

--- The descriptor, for `socket.select`.
---
--- `c:getfd()  --> such as 12`
---@return integer
function Connection:getfd() end

--- Whether received bytes wait.
---
--- `c:dirty()  --> false`
---@return boolean
function Connection:dirty() end

--- The socket.
---
--- `c:getcontrol():getpeername()  --> "127.0.0.1", 20025, "inet"`
---@return splay.Tcp
function Connection:getcontrol() end

--- Sends what a source gives.
---
--- `c:source(ltn12.source.string("noop\r\n"))  --> 1`
---
--- Errors: those of the source and of `Tcp:send`.
---@async
---@param source ltn12.Source
---@param step function?
---@return integer? one
---@return any reason
function Connection:source(source, step) end

--- Encrypts the connection from here on, see `ssl.wrap`.
---
--- ```lua not run: a server with a certificate is needed
--- c:secure({ mode = "client", cafile = "ca.pem" })  --> 1
--- ```
---
--- Errors: `nil, "reason"`: those of `ssl.wrap` and of the handshake.
---@async
---@param parameters ssl.Parameters
---@return integer? one nil, "reason"
---@return string? reason
function Connection:secure(parameters) end

--- Closes the connection.
---
--- `c:close()  --> 1`
---@return integer one
function Connection:close() end

--- Connects to a server.
---
--- `tp.connect("127.0.0.1", 1)  --> nil, "connection refused"`
---
--- Errors: `nil, "reason"`, those of the network.
---@async
---@param host string
---@param port integer|string
---@param timeout number? seconds of each step, `TIMEOUT` if absent
---@param create (fun(): table?, string?)? `socket.tcp` if absent
---@return socket.tp.Connection? connection nil, "reason"
---@return string? reason
function M.connect(host, port, timeout, create) end

return M
