---@meta socket.ftp
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

--- `local f = ftp.open("127.0.0.1", 20021)`
--- `f:greet()`
---@class socket.ftp.Connection
---@field tp socket.tp.Connection
---@field try fun(...): ...
---@field pasvt {address: string, port: integer}? where the server waits for a data connection
---@field server splay.Tcp? where the client waits for one
---@field data splay.Tcp? the data connection
local Connection = {}

---@class socket.ftp.Transfer
---@field url string? or its parts, which come first
---@field host string?
---@field port integer?
---@field user string?
---@field password string?
---@field path string? of the file
---@field argument string? of the command, instead of `path`
---@field command string? instead of "retr" or "stor"
---@field type string? "a" or "i"
---@field source ltn12.Source? what is put
---@field sink ltn12.Sink? gets what is got
---@field step function?
---@field create (fun(): table?, string?)?

---@class socket.ftp.Commands
---@field url string?
---@field host string?
---@field port integer?
---@field user string?
---@field password string?
---@field command string|string[]
---@field argument string|string[]|nil
---@field check any the codes expected, as of `check` of `socket.tp`; a list of them for a list
---@field create (fun(): table?, string?)?

---@class socket.ftp
local M = {}

--- Seconds that one step may take.
M.TIMEOUT = 60

--- Port of servers whose URL names none.
M.PORT = 21

--- Name to log in with where none is given.
M.USER = "ftp"

--- Password to log in with where none is given.
M.PASSWORD = "anonymous@anonymous.org"

--- Receives the server's greeting.
---
--- `ftp.open("127.0.0.1", 20021):greet()  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
function Connection:greet() end

--- Logs in.
---
--- `f:login("me", "secret")  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param user string?
---@param password string?
function Connection:login(user, password) end

--- Asks the server to wait for a data connection (IPv4).
---
--- `f:pasv()  --> "127.0.0.1", ...`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@return string address as the server names it
---@return integer port
function Connection:pasv() end

--- Asks the server to wait for a data connection (any family).
---
--- `f:epsv()  --> "127.0.0.1", ...`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@return string address the server's
---@return integer port
function Connection:epsv() end

--- Tells the server where to connect to (IPv4): an address of one's own if none is given.
---
--- `f:port()  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param address string?
---@param port integer?
function Connection:port(address, port) end

--- Tells the server where to connect to (any family).
---
--- `f:eprt()  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param family string? "1" for IPv4, "2" for IPv6
---@param address string?
---@param port integer?
function Connection:eprt(family, address, port) end

--- Waits for the server's data connection.
---
--- ```lua not run: the server has to connect
--- f:port()
--- f:portconnect()
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
function Connection:portconnect() end

--- Makes the data connection.
---
--- ```lua
--- f:pasv()
--- f:pasvconnect()
--- f.data:getpeername()  --> "127.0.0.1", ...
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
function Connection:pasvconnect() end

--- Sends a file over the data connection and returns its bytes.
---
--- `f:pasv()`
--- `f:send{ path = "notes.txt", source = ltn12.source.string("hello") }  --> 5`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param transfer socket.ftp.Transfer
---@return integer bytes
function Connection:send(transfer) end

--- Receives a file over the data connection.
---
--- ```lua
--- local sink, parts = ltn12.sink.table()
--- f:epsv()
--- f:receive{ path = "notes.txt", sink = sink }  --> 1
--- parts                                        --> { "hello" }
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param transfer socket.ftp.Transfer
function Connection:receive(transfer) end

--- Changes the server's folder.
---
--- `f:cwd("pub")  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param folder string
function Connection:cwd(folder) end

--- Sets the type of transfers: "a" for text, "i" for bytes.
---
--- `f:type("i")  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param type string
function Connection:type(type) end

--- Says goodbye.
---
--- `f:quit()  --> 1`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
function Connection:quit() end

--- Closes the connections.
---
--- `f:close()  --> 1`
---@return integer one
function Connection:close() end

--- Connects to a server. The methods of the object raise what `socket.protect` catches.
---
--- `socket.protect(ftp.open)("127.0.0.1", 1)  --> nil, "connection refused"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, "need port or pasv first", or those of the network.
---@async
---@param server string
---@param port integer?
---@param create (fun(): table?, string?)?
---@return socket.ftp.Connection
function M.open(server, port, create) end

--- Gets a file: as a string from a URL, or into the sink of a table.
---
--- `ftp.get("ftp://127.0.0.1:20021/readme.txt;type=a")  --> "hello"`
---
--- Errors: `nil, "reason"`: what the server replied, "wrong scheme 'X'", "invalid type 'X'",
--- "missing hostname", or those of the network.
---@async
---@param transfer string|socket.ftp.Transfer
---@return string|integer|nil content 1 where `transfer` is a table; nil, "reason"
---@return string? reason
function M.get(transfer) end

--- Puts a file: a string to a URL, or what the source of a table gives.
---
--- `ftp.put("ftp://me:secret@127.0.0.1:20021/notes.txt", "hello")  --> 5`
---
--- Errors: `nil, "reason"`: what the server replied, "wrong scheme 'X'", "invalid type 'X'",
--- "missing hostname", or those of the network.
---@async
---@param transfer string|socket.ftp.Transfer
---@param content string?
---@return integer? bytes nil, "reason"
---@return string? reason
function M.put(transfer, content) end

--- Runs commands that need no data connection.
---
--- `ftp.command{ host = "127.0.0.1", port = 20021, command = "dele", argument = "old" }  --> 1`
---
--- Errors: `nil, "reason"`: what the server replied, "wrong scheme 'X'", "invalid type 'X'",
--- "missing hostname", or those of the network.
---@async
---@param commands socket.ftp.Commands
---@return integer? one nil, "reason"
---@return string? reason
function M.command(commands) end

return M
