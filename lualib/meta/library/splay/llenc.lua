---@meta splay.llenc
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.llenc
local M = {}

--- Frames a block.
---
--- `llenc.encode("hello")  --> "5\nhello"`
---@param data any made a string by `tostring`
---@return string frame
function M.encode(data) end

--- Sends a block, or each block of an array.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- llenc.send(c, { "first", "second" })
--- llenc.receive(s)  --> "first"
--- ```
---
--- Errors: `nil, "no data"` for nil and an empty array, and the socket's.
---@async
---@param socket table anything with a method `send`
---@param data any|any[]
---@return integer|nil sent what the socket's `send` returned last
---@return string? err
function M.send(socket, data) end

--- Receives a block.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- llenc.send(c, "hello")
--- llenc.receive(s, 1024)  --> "hello"
--- ```
---
--- Errors: `nil, "reason"`: the socket's, "corrupted" or "Too much data (max: N)".
---@async
---@param socket table anything with a method `receive`
---@param max_length? integer a longer block is an error, and left unread
---@return string|nil data
---@return string? err the socket's, "corrupted" or "Too much data (max: N)"
function M.receive(socket, max_length) end

--- Receives several blocks.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- llenc.send(c, { "first", "second" })
--- llenc.receive_array(s, 2)  --> { "first", "second" }
--- ```
---
--- Errors: `nil, "reason"`: the socket's, "corrupted" or "Too much data (max: N)".
---@async
---@param socket table
---@param number? integer default 1
---@param max_length? integer of each block
---@return string[]|nil blocks
---@return string? err
---@return string[]? received the blocks before the error
function M.receive_array(socket, number, max_length) end

--- Wraps a socket: its `send`, `receive` and `receive_array` then deal in blocks; all other
--- methods and `super` are the socket's own.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- llenc.wrap(c):send("hello")
--- llenc.wrap(s):receive()  --> "hello"
--- ```
---
--- Manual: 'splay.llenc'
---@param socket table
---@return table wrapped the socket itself if it is wrapped already
function M.wrap(socket) end

M.receive_one = M.receive

return M
