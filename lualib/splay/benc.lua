--- Bencode extended to all plain Lua data; what remote calls are made of.
--- Numbers, strings, booleans, nil and tables of them; compatible with BitTorrent.
---
--- Since: 0.1
--- Manual: 'splay.benc'

local core = require "splay.benc_core"
local llenc = require "splay.lazy" "splay.llenc"

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
M.encode = core.encode

--- Decodes the value a string starts with. Raises an error if there is none.
---
--- `benc.decode("li1e3:twoe")  --> { 1, "two" }, 10`
---
--- Errors: raises "truncated data" and others; see [errors](../errors.md).
--- Manual: 'splay.benc'
---@param bytes string
---@return any data
---@return integer length of the value in bytes; what follows is ignored
M.decode = core.decode

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
function M.send(socket, data)
  return llenc.send(socket, core.encode(data))
end

local function received(ok, value)
  if not ok then return nil, "corrupted" end
  return value
end

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
function M.receive(socket, max_length)
  local bytes, err = llenc.receive(socket, max_length)
  if not bytes then return nil, err end
  return received(pcall(core.decode, bytes))
end

-- The wrapped object below is a socket in blocks already.
local wrap, is_wrapped
local function prepare()
  wrap, is_wrapped = require("splay.wrapped").class("#BENC", {
    send = function(self, data) return self.super:send(core.encode(data)) end,
    receive = function(self, max_length)
      local bytes, err = self.super:receive(max_length)
      if not bytes then return nil, err end
      return received(pcall(core.decode, bytes))
    end,
    receive_array = function(self, number, max_length)
      local blocks, err, partial = self.super:receive_array(number, max_length)
      local values = {}
      for i, bytes in ipairs(blocks or partial) do
        local ok, value = pcall(core.decode, bytes)
        if not ok then return nil, "corrupted", values end
        values[i] = value
      end
      if not blocks then return nil, err, values end
      return values
    end,
  })
end

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
function M.wrap(socket)
  if not wrap then prepare() end
  return is_wrapped(socket) and socket or wrap(llenc.wrap(socket))
end

return M
