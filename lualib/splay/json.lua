--- JSON over a stream: one text on each line (manual, "json").

local cjson = require "cjson"

---@class splay.json
local M = {}

--- Encodes a value as JSON on one line. Raises an error for what JSON cannot say.
---@param data any
---@return string text
--- Example: `json.encode({ 1, 2 })` --> "[1,2]"
M.encode = cjson.encode

--- Decodes a JSON text; null becomes `cjson.null`. Raises an error if it is none.
---@param text string
---@return any data
--- Example: `json.decode('{"a":1}')` --> { a = 1 }
M.decode = cjson.decode

--- Sends a value.
---@async
---@param socket table anything with a method `send`
---@param data any
---@return integer|nil sent
---@return string? err
--- Example: `json.send(socket, { type = "ping" })`
function M.send(socket, data)
  return socket:send(cjson.encode(data) .. "\n")
end

--- Receives a value.
---@async
---@param socket table anything with a method `receive`
---@return any data
---@return string? err the socket's, or "corrupted"
--- Example: `json.receive(socket)` --> { type = "ping" }
function M.receive(socket)
  local line, err = socket:receive("*l")
  if not line then return nil, err end
  local ok, value = pcall(cjson.decode, line)
  if not ok then return nil, "corrupted" end
  return value
end

local wrap = require("splay.wrapped").class("#JSON", {
  send = function(self, data) return M.send(self.super, data) end,
  receive = function(self) return M.receive(self.super) end,
})

--- Wraps a socket: its `send` and `receive` then deal in values; all other methods and `super`
--- are the socket's own.
---@param socket table
---@return table wrapped the socket itself if it is wrapped already
--- Example: `local values = json.wrap(socket)  values:send({ 1, 2 })`
function M.wrap(socket)
  return wrap(socket)
end

return M
