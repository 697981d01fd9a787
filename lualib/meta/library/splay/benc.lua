---@meta splay.benc
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.benc
local M = {}

--- Encodes a value. Raises an error for functions, userdata, threads and cyclic tables.
---
--- `benc.encode({ 1, "two", { three = 3 } })  --> "li1e3:twod5:threei3eee"`
---
--- Errors: raises for functions, userdata and threads, and where tables contain themselves or are
--- nested deeper than 128.
--- Manual: 'splay.benc'
---@param data any
---@return string bytes
function M.encode(data) end

--- Decodes the value a string starts with. Raises an error if there is none.
---
--- `benc.decode("li1e3:twoe")  --> { 1, "two" }, 10`
---
--- Errors: raises "truncated data" and others; see [errors](../errors.md).
--- Manual: 'splay.benc'
---@param bytes string
---@return any data
---@return integer length of the value in bytes; what follows is ignored
function M.decode(bytes) end

--- Sends a value as a block (see `splay.llenc`).
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- benc.send(c, { type = "ping" })
--- benc.receive(s)  --> { type = "ping" }
--- ```
---
--- Errors: `nil, "reason"`, the socket's. Raises as `encode`.
---@async
---@param socket table
---@param data any
---@return integer|nil sent
---@return string? err
function M.send(socket, data) end

--- Receives a value sent as a block.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- benc.send(c, { 1, 2 })
--- benc.receive(s, 1024)  --> { 1, 2 }
--- ```
---
--- Errors: `nil, "reason"`: the socket's, "corrupted" or "Too much data (max: N)".
---@async
---@param socket table
---@param max_length? integer of the block in bytes
---@return any data
---@return string? err the socket's, or "corrupted"
function M.receive(socket, max_length) end

--- Wraps a socket: its `send` and `receive` then deal in values.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- benc.wrap(c):send({ 1, 2 })
--- benc.wrap(s):receive()  --> { 1, 2 }
--- ```
---
--- Manual: 'splay.benc'
---@param socket table a socket, or one wrapped by `splay.llenc`
---@return table wrapped the socket itself if it is wrapped already
function M.wrap(socket) end

return M
