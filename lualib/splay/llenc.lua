--- Blocks of bytes over a stream: the length in decimal, a newline, the bytes.
---
--- Since: 0.1
--- Manual: 'splay.llenc'

local type, tostring, tonumber = type, tostring, tonumber

---@class splay.llenc
local M = {}

-- Blocks up to this length are joined with their length line before they are sent.
local JOINED = 8192

--- Frames a block.
---
--- `llenc.encode("hello")  --> "5\nhello"`
---@param data any made a string by `tostring`
---@return string frame
function M.encode(data)
  data = tostring(data)
  return #data .. "\n" .. data
end

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
function M.send(socket, data)
  if not data then return nil, "no data" end
  if type(data) == "table" then
    if data[1] == nil then return nil, "no data" end
    local frames = {}
    for i = 1, #data do
      frames[i] = M.encode(data[i])
    end
    return socket:send(table.concat(frames))
  end
  data = tostring(data)
  if #data < JOINED then return socket:send(#data .. "\n" .. data) end
  local sent, err = socket:send(#data .. "\n")
  if not sent then return nil, err end
  return socket:send(data)
end

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
function M.receive(socket, max_length)
  local line, err = socket:receive("*l")
  if not line then return nil, err end
  local length = line:match("^[ \t]*(%d+)[ \t\r]*$")
  length = length and tonumber(length)
  if not length or length >= 2 ^ 53 then return nil, "corrupted" end
  if max_length and length > max_length then
    return nil, "Too much data (max: " .. max_length .. ")"
  end
  if length == 0 then return "" end
  local data
  data, err = socket:receive(length)
  if not data then return nil, err end
  return data
end

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
function M.receive_array(socket, number, max_length)
  local blocks = {}
  for i = 1, number or 1 do
    local data, err = M.receive(socket, max_length)
    if not data then return nil, err, blocks end
    blocks[i] = data
  end
  return blocks
end

local wrap = require("splay.wrapped").class("#LLENC", {
  send = function(self, data) return M.send(self.super, data) end,
  receive = function(self, max_length) return M.receive(self.super, max_length) end,
  receive_array = function(self, number, max_length)
    return M.receive_array(self.super, number, max_length)
  end,
})

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
function M.wrap(socket)
  return wrap(socket)
end

M.receive_one = M.receive

return M
