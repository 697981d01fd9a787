---@meta splay.json
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.json
local M = {}

--- Encodes a value as JSON on one line. Raises an error for what JSON cannot say.
---
--- `json.encode({ 1, 2 })  --> "[1,2]"`
---
--- Errors: raises "Cannot serialise ...".
---@param data any
---@return string text
function M.encode(data) end

--- Decodes a JSON text; null becomes `cjson.null`. Raises an error if it is none.
---
--- `json.decode('{"a":1}')  --> { a = 1 }`
---
--- Errors: raises "Expected ... but found ... at character N".
---@param text string
---@return any data
function M.decode(text) end

--- Sends a value.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- json.send(c, { type = "ping" })
--- json.receive(s)  --> { type = "ping" }
--- ```
---
--- Errors: `nil, "reason"`, the socket's. Raises as `encode`.
---@async
---@param socket table anything with a method `send`
---@param data any
---@return integer|nil sent
---@return string? err
function M.send(socket, data) end

--- Receives a value.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- json.send(c, { 1, 2 })
--- json.receive(s)  --> { 1, 2 }
--- ```
---
--- Errors: `nil, "reason"`: the socket's, "corrupted".
---@async
---@param socket table anything with a method `receive`
---@return any data
---@return string? err the socket's, or "corrupted"
function M.receive(socket) end

--- Wraps a socket: its `send` and `receive` then deal in values; all other methods and `super`
--- are the socket's own.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 0))
--- local _, port = server:getsockname()
--- local c = socket.connect("127.0.0.1", port)
--- local s = server:accept()
--- json.wrap(c):send({ 1, 2 })
--- json.wrap(s):receive()  --> { 1, 2 }
--- ```
---
--- Manual: 'splay.json'
---@param socket table
---@return table wrapped the socket itself if it is wrapped already
function M.wrap(socket) end

return M
