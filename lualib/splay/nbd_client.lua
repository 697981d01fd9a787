--- Clients of NBD servers, part of `splay.nbd`: `connect`.

local events = require "splay.events"
local socket = require "splay.socket"
local socket_core = require "splay.socket_core"

local floor, char, byte = math.floor, string.char, string.byte
local setmetatable, ipairs, type = setmetatable, ipairs, type

local M = {}

-- The protocol's numbers -------------------------------------------------------------------------

local function u16(n) return char(floor(n / 256) % 256, n % 256) end
local function u32(n)
  return char(floor(n / 16777216) % 256, floor(n / 65536) % 256, floor(n / 256) % 256, n % 256)
end
local function u64(n) return u32(floor(n / 4294967296)) .. u32(n % 4294967296) end

local function read16(s, at) return byte(s, at) * 256 + byte(s, at + 1) end
local function read32(s, at) return read16(s, at) * 65536 + read16(s, at + 2) end
local function read64(s, at) return read32(s, at) * 4294967296 + read32(s, at + 4) end

local OPTION, OPTION_REPLY = "IHAVEOPT", "\0\3\232\137\4\85\101\169"
local REQUEST, SIMPLE, CHUNK = 0x25609513, 0x67446698, 0x668e33ef
local GO, STRUCTURED, SET_META = 7, 8, 10
local READ, WRITE, DISCONNECT, FLUSH, TRIM, ZERO, STATUS = 0, 1, 2, 3, 4, 6, 7
local FUA, NO_HOLE = 1, 2

local ERRORS = {
  [1] = "EPERM", [5] = "EIO", [12] = "ENOMEM", [22] = "EINVAL", [28] = "ENOSPC",
  [75] = "EOVERFLOW", [95] = "ENOTSUP", [108] = "ESHUTDOWN",
}
local REFUSALS = {
  [1] = "not supported", [2] = "forbidden", [3] = "invalid option", [5] = "TLS required",
  [6] = "unknown export", [7] = "shutting down", [9] = "too big",
}

-- Sends an option and takes its replies: a list of { kind, data }, or nil and why.
local function negotiate(sock, option, data)
  local ok, reason = sock:send(OPTION .. u32(option) .. u32(#data) .. data)
  if not ok then return nil, reason end
  local replies = {}
  while true do
    local head, why = sock:receive(20)
    if not head then return nil, why end
    if head:sub(1, 8) ~= OPTION_REPLY or read32(head, 9) ~= option then
      return nil, "not an NBD server"
    end
    local kind, length = read32(head, 13), read32(head, 17)
    local content = ""
    if length > 0 then content, why = sock:receive(length) end
    if not content then return nil, why end
    if kind == 1 then return replies end
    if kind >= 2 ^ 31 then return nil, REFUSALS[kind - 2 ^ 31] or ("refused (%d)"):format(kind) end
    replies[#replies + 1] = { kind = kind, data = content }
  end
end

local function handshake(sock, name)
  local greeting, reason = sock:receive(18)
  if not greeting then return nil, reason end
  if greeting:sub(1, 16) ~= "NBDMAGICIHAVEOPT" then return nil, "not an NBD server" end
  local ok
  ok, reason = sock:send(u32(read16(greeting, 17) % 4))
  if not ok then return nil, reason end
  local extents = false
  if negotiate(sock, STRUCTURED, "") then
    local query = u32(#name) .. name .. u32(1) .. u32(15) .. "base:allocation"
    local contexts = negotiate(sock, SET_META, query)
    extents = contexts ~= nil and #contexts > 0
  end
  local replies
  replies, reason = negotiate(sock, GO, u32(#name) .. name .. u16(0))
  if not replies then return nil, reason end
  for _, reply in ipairs(replies) do
    if reply.kind == 3 and read16(reply.data, 1) == 0 then
      return read64(reply.data, 3), read16(reply.data, 11), extents
    end
  end
  return nil, "not an NBD server"
end

-- Clients ----------------------------------------------------------------------------------------

local function has(flags, bit) return floor(flags / 2 ^ bit) % 2 == 1 end

--- A connected client, as `nbd.connect` returns it. Several threads may use it at the same time.
---
--- ```lua
--- local server = nbd.serve(0, nbd.memory(8192))
--- local c = nbd.connect("127.0.0.1", server.port)
--- ```
---@class splay.nbd.Client
---@field size integer bytes
---@field readonly boolean
---@field flags integer the transmission flags
local Client = {}
Client.__index = Client

-- Takes one chunk or simple reply; false and why if the connection is lost.
local function take_reply(c)
  local sock = c.sock
  local magic, reason = sock:receive(4)
  if not magic then return false, reason end
  if read32(magic, 1) == SIMPLE then
    local head = sock:receive(12)
    if not head then return false, "closed" end
    local pending = c.pending[read64(head, 5)]
    if not pending then return false, "not an NBD server" end
    local code = read32(head, 1)
    if code ~= 0 then
      pending.errno = ERRORS[code] or "EIO"
    elseif pending.kind == READ then
      pending.data = { sock:receive(pending.length) }
      if not pending.data[1] then return false, "closed" end
    end
    pending.over = true
    return true
  end
  if read32(magic, 1) ~= CHUNK then return false, "not an NBD server" end
  local head = sock:receive(16)
  if not head then return false, "closed" end
  local flags, kind, length = read16(head, 1), read16(head, 3), read32(head, 13)
  local pending = c.pending[read64(head, 5)]
  if not pending then return false, "not an NBD server" end
  local content = length == 0 and "" or sock:receive(length)
  if not content then return false, "closed" end
  if kind == 1 then
    pending.data[#pending.data + 1] = content:sub(9)
  elseif kind == 2 then
    pending.data[#pending.data + 1] = ("\0"):rep(read32(content, 9))
  elseif kind == 5 then
    for at = 5, length - 7, 8 do
      local status = read32(content, at + 4)
      pending.extents[#pending.extents + 1] =
        { length = read32(content, at), hole = has(status, 0), zero = has(status, 1) }
    end
  elseif kind >= 0x8000 then
    pending.errno = ERRORS[read32(content, 1)] or "EIO"
  end
  pending.over = flags % 2 == 1
  return true
end

-- Whoever waits for a reply takes what comes, for the others too.
local function await(c, pending)
  while not pending.over do
    if c.failed then return nil, c.failed end
    if c.taking then
      events.wait(c.arrived)
    else
      c.taking = true
      local ok, reason = take_reply(c)
      c.taking = false
      if not ok then c.failed = reason end
      events.fire(c.arrived)
    end
  end
  if pending.errno then return nil, pending.errno end
  return pending
end

local function send(c, kind, flags, offset, length, payload)
  local cookie = c.cookie
  c.cookie = cookie + 1
  c.sending:lock()
  local head = u32(REQUEST) .. u16(flags) .. u16(kind) .. u64(cookie) .. u64(offset)
  local ok, reason = c.sock:send(head .. u32(length) .. (payload or ""))
  c.sending:unlock()
  if not ok then return nil, reason end
  return cookie
end

local function request(c, kind, flags, offset, length, payload)
  if c.failed then return nil, c.failed end
  local pending = { kind = kind, length = length, data = {}, extents = {} }
  c.pending[c.cookie] = pending
  local cookie, reason = send(c, kind, flags, offset, length, payload)
  if not cookie then
    c.failed = c.failed or reason
    return nil, reason
  end
  local reply, why = await(c, pending)
  c.pending[cookie] = nil
  return reply, why
end

local function done(reply, reason)
  if reply then return true end
  return nil, reason
end

--- Reads.
---
--- ```lua
--- c:pread(2, 100)  --> "\0\0"
--- server:close()
--- c:pread(2, 100)  --> nil, "closed"
--- ```
---
--- Errors: `nil, "EINVAL"` and other errors of the server's, by name; those of connections.
---@async
---@param count integer bytes
---@param offset integer
---@return string? data nil, "reason"
---@return string? reason
function Client:pread(count, offset)
  local reply, reason = request(self, READ, 0, offset, count)
  if not reply then return nil, reason end
  return table.concat(reply.data)
end

--- Writes.
---
--- `c:pwrite("hello", 512, true)  --> true`
--- `c:pwrite("hello", 8190)  --> nil, "ENOSPC"`
---
--- Errors: `nil, "ENOSPC"` beyond the end, `nil, "EPERM"` if nothing may be written; else as
--- `pread`.
---@async
---@param data string
---@param offset integer
---@param fua boolean? it is durable before the reply
---@return true? done nil, "reason"
---@return string? reason
function Client:pwrite(data, offset, fua)
  return done(request(self, WRITE, fua and FUA or 0, offset, #data, data))
end

--- Makes what was written durable.
---
--- `c:flush()  --> true`
---
--- Errors: as `pread`.
---@async
---@return true? done nil, "reason"
---@return string? reason
function Client:flush() return done(request(self, FLUSH, 0, 0, 0)) end

--- Gives a range up.
---
--- `c:pwrite("hello", 0)`
--- `c:trim(4096, 0)  --> true`
--- `c:pread(5, 0)  --> "\0\0\0\0\0"`
---
--- Errors: `nil, "EPERM"` if nothing may be written; else as `pread`.
---@async
---@param count integer bytes
---@param offset integer
---@return true? done nil, "reason"
---@return string? reason
function Client:trim(count, offset) return done(request(self, TRIM, 0, offset, count)) end

--- Makes a range zeroes.
---
--- `c:pwrite("hello", 0)`
--- `c:zero(4, 1)  --> true`
--- `c:pread(5, 0)  --> "h\0\0\0\0"`
---
--- Errors: as `pwrite`.
---@async
---@param count integer bytes
---@param offset integer
---@param no_hole boolean? space is kept for it
---@return true? done nil, "reason"
---@return string? reason
function Client:zero(count, offset, no_hole)
  return done(request(self, ZERO, no_hole and NO_HOLE or 0, offset, count))
end

--- Tells what is allocated, as runs of bytes.
---
--- ```lua
--- c:pwrite("hello", 4096)
--- c:extents(8192, 0)[1]  --> { length = 4096, hole = true, zero = true }
--- c:extents(8192, 0)[2]  --> { length = 4096, hole = false, zero = false }
--- ```
---
--- Errors: `nil, "not supported"` if the server does not tell it; else as `pread`.
---@async
---@param count integer bytes
---@param offset integer
---@return { length: integer, hole: boolean, zero: boolean }[]? extents nil, "reason"
---@return string? reason
function Client:extents(count, offset)
  if not self.knows_extents then return nil, "not supported" end
  local reply, reason = request(self, STATUS, 0, offset, count)
  if not reply then return nil, reason end
  return reply.extents
end

--- Says good-bye and closes the connection.
---
--- `c:close()`
--- `c:flush()  --> nil, "closed"`
---@async
function Client:close()
  if self.failed then return end
  send(self, DISCONNECT, 0, 0, 0)
  self.failed = "closed"
  self.sock:close()
  events.fire(self.arrived)
end

--- See `nbd.connect`.
---@async
---@param host string|table
---@param port integer|string|nil
---@param name string?
---@return splay.nbd.Client? client nil, "reason"
---@return string? reason
function M.connect(host, port, name)
  local sock, reason
  if type(host) == "table" then
    name, host, port = port, host.ip, host.port
  elseif host:find("/", 1, true) then
    name = port
    sock, reason = socket_core.unix_connect((host:gsub("^unix:", "")))
  end
  if not sock and not reason then sock, reason = socket.connect(host, port) end
  if not sock then return nil, reason end
  sock:setoption("tcp-nodelay", true)
  local size, flags, extents = handshake(sock, name or "")
  if not size then
    sock:close()
    return nil, flags
  end
  return setmetatable({
    sock = sock, size = size, flags = flags, readonly = has(flags, 1), knows_extents = extents,
    pending = {}, cookie = 1, arrived = {}, sending = events.lock(),
  }, Client)
end

return M
