--- One client of an NBD server, part of `splay.nbd`: from its handshake to its end. What it says is
--- understood by `splay.nbd_core`; here are the callbacks that answer, and in which order.

local events = require "splay.events"

local type, pcall, tostring, tonumber = type, pcall, tostring, tonumber
local thread, wait, fire = events.thread, events.wait, events.fire

---@class splay.nbd.connection
local M = {}

-- Text and errno of an error; nbdkit says "(null)" of values that are no text.
local function explain(e)
  if type(e) == "table" then
    local errno = type(e.errno) == "string" and e.errno or nil
    return tostring(e.message or errno or "(null)"), errno
  end
  if type(e) == "string" or type(e) == "number" then return tostring(e) end
  return "(null)"
end

local function complain(conn, callback, text)
  local line = ("lua[%d]: error: %s: %s"):format(conn.number, callback, text)
  conn.server.log(line)
end

-- One callback at a time -------------------------------------------------------------------------

local function enter(server)
  if not server.busy then
    server.busy = true
    return
  end
  local turn = {}
  local queue = server.queue
  queue[#queue + 1] = turn
  wait(turn) -- busy stays set: the turn is handed over
end

local function leave(server)
  local turn = server.queue[1]
  if turn then
    table.remove(server.queue, 1)
    fire(turn)
  else
    server.busy = false
  end
end

-- Calls a callback: true and its results; or false, the errno.
local function call(conn, name, f, ...)
  local server = conn.server
  if not conn.parallel then enter(server) end
  local ok, a, b, c = pcall(f, ...)
  if not conn.parallel then leave(server) end
  if ok then return true, a, b, c end
  local text, errno = explain(a)
  complain(conn, name, text)
  return false, errno
end

-- Opening ----------------------------------------------------------------------------------------

-- What a callback says about the disk; nil if it does not.
local function ability(conn, plugin, name, default)
  local f = plugin[name]
  if not f then return default end
  local ok, value = call(conn, name, f, conn.handle)
  if not ok then return nil end
  if type(value) ~= "boolean" then
    complain(conn, name, "return value is not a boolean")
    return nil
  end
  return value
end

local function size_of(conn, plugin)
  local ok, size = call(conn, "get_size", plugin.get_size, conn.handle)
  if not ok then return nil end
  local number = (type(size) == "number" or type(size) == "string") and tonumber(size)
  if not number or number ~= number or number >= 2^53 then
    complain(conn, "get_size", "cannot convert returned value to an integer")
    return nil
  end
  number = number < 0 and math.ceil(number) or math.floor(number)
  if number < 0 then
    complain(conn, "get_size", (".get_size function returned invalid value (%d)"):format(number))
    return nil
  end
  return number
end

-- In the order in which nbdkit asks; what it does not know comes last.
local function abilities(conn, plugin)
  local readonly = conn.server.readonly
  local found = { size = size_of(conn, plugin) }
  if not found.size then return nil end
  for _, one in ipairs {
    { "write", "can_write", plugin.pwrite ~= nil, readonly },
    { "trim", "can_trim", plugin.trim ~= nil, readonly },
    { "flush", "can_flush", plugin.flush ~= nil },
    { "rotational", "is_rotational", false },
    { "multi_conn", "can_multi_conn", false },
    { "cache", "can_cache", plugin.cache ~= nil },
    { "extents", "can_extents", plugin.extents ~= nil },
    { "fast_zero", "can_fast_zero", false, readonly },
  } do
    local field, callback, default, no = one[1], one[2], one[3], one[4]
    found[field] = not no and ability(conn, plugin, callback, default)
    if found[field] == nil then return nil end
  end
  if plugin.block_size then
    local ok, minimum, preferred, maximum = call(conn, "block_size", plugin.block_size, conn.handle)
    if not ok then return nil end
    found.minimum, found.preferred, found.maximum = minimum, preferred, maximum
  end
  found.description = plugin.description
  return found
end

local function close_handle(conn)
  local plugin = conn.plugin
  if plugin and plugin.close then call(conn, "close", plugin.close, conn.handle) end
  conn.plugin, conn.handle, conn.can = nil, nil, nil
end

local function open(conn, name)
  local server = conn.server
  local plugin = server.exports[name] or server.single
  local parallel = server.parallel or plugin.parallel
  conn.parallel = parallel == true and 16 or parallel
  local handle
  if plugin.open then
    local ok
    ok, handle = call(conn, "open", plugin.open, server.readonly, name)
    if not ok then return conn.session:refused("") end
  end
  conn.plugin, conn.handle = plugin, handle
  conn.can = abilities(conn, plugin)
  if conn.can then return conn.session:opened(conn.can) end
  close_handle(conn)
  conn.session:refused("")
end

local function secure(conn)
  local session = conn.session
  if not session:finish() then return false end
  session:plain()
  local ssl = require "ssl"
  local secured = ssl.wrap(conn.sock, conn.server.context)
  local ok, reason = secured:dohandshake()
  if not ok then
    complain(conn, "tls", tostring(reason))
    secured:close()
    return false
  end
  conn.sock = secured
  session:secured(secured)
  return true
end

-- Requests ---------------------------------------------------------------------------------------

-- nbdkit never asks for more at once.
local MOST_ZEROES = 64 * 1024 * 1024

local function write_zeroes(conn, plugin, count, offset)
  while count > 0 do
    local length = math.min(count, MOST_ZEROES)
    local ok, errno = call(conn, "pwrite", plugin.pwrite, conn.handle, ("\0"):rep(length), offset)
    if not ok then return false, errno end
    count, offset = count - length, offset + length
  end
  return true
end

local function zero(conn, plugin, count, offset, may_trim, fast)
  if not plugin.zero then
    if fast then return false, "ENOTSUP" end
    return write_zeroes(conn, plugin, count, offset)
  end
  local server = conn.server
  if not conn.parallel then enter(server) end
  local ok, e = pcall(plugin.zero, conn.handle, count, offset, may_trim)
  if not conn.parallel then leave(server) end
  if ok then return true end
  local text, errno = explain(e)
  if not fast and (errno == "ENOTSUP" or errno == "EOPNOTSUPP") then
    return write_zeroes(conn, plugin, count, offset)
  end
  complain(conn, "zero", text)
  return false, errno
end

-- `{ length, "hole,zero" }`, or the same with fields.
local function extent(one)
  local flags = one[2] or one.flags or ""
  return { one[1] or one.length, one.hole or flags:find("hole", 1, true) ~= nil,
    one.zero or flags:find("zero", 1, true) ~= nil }
end

local function tell_extents(conn, plugin, ticket, offset, count)
  local ok, list = call(conn, "extents", function(h)
    local list = {}
    for i, one in ipairs(plugin.extents(h, count, offset)) do list[i] = extent(one) end
    return list
  end, conn.handle)
  if ok then conn.session:extents(ticket, list) else conn.session:fail(ticket, list) end
end

-- Does what a client asks for. Reads and writes are most of it: `serial` does them itself.
local function perform(conn, kind, ticket, offset, x, fua, a, b)
  local session, plugin, h = conn.session, conn.plugin, conn.handle
  local ok, errno
  if kind == "read" then
    local data
    ok, data = call(conn, "pread", plugin.pread, h, x, offset)
    if not ok then return session:fail(ticket, data) end
    local whole, reason = session:read(ticket, data)
    if not whole then
      complain(conn, "pread", reason)
      session:fail(ticket)
    end
    return
  elseif kind == "write" then
    ok, errno = call(conn, "pwrite", plugin.pwrite, h, x, offset)
  elseif kind == "flush" then
    ok, errno = true, nil
    if plugin.flush then ok, errno = call(conn, "flush", plugin.flush, h) end
  elseif kind == "trim" then
    ok, errno = true, nil
    if plugin.trim then ok, errno = call(conn, "trim", plugin.trim, h, x, offset) end
  elseif kind == "cache" then
    ok, errno = true, nil
    if plugin.cache then ok, errno = call(conn, "cache", plugin.cache, h, x, offset) end
  elseif kind == "zero" then
    ok, errno = zero(conn, plugin, x, offset, a, b)
  else
    return tell_extents(conn, plugin, ticket, offset, x)
  end
  if ok and fua and conn.can.flush and plugin.flush then
    ok, errno = call(conn, "flush", plugin.flush, h)
  end
  if ok then session:done(ticket) else session:fail(ticket, errno) end
end

-- Answers requests one after the other until something else comes, which is returned.
local function serial(conn, kind, ticket, offset, x, fua, a, b)
  local server, session, plugin, h = conn.server, conn.session, conn.plugin, conn.handle
  local pread, pwrite, next_event = plugin.pread, plugin.pwrite, session.next
  local read, done = session.read, session.done
  while kind and kind ~= "end" do
    if kind == "read" then
      if server.busy then enter(server) else server.busy = true end
      local ok, data = pcall(pread, h, x, offset)
      if server.queue[1] then leave(server) else server.busy = false end
      local reason
      if ok then
        ok, reason = read(session, ticket, data)
        if not ok then data = reason end
      end
      if not ok then
        local text, errno = explain(data)
        complain(conn, "pread", text)
        session:fail(ticket, errno)
      end
    elseif kind == "write" and not fua then
      if server.busy then enter(server) else server.busy = true end
      local ok, e = pcall(pwrite, h, x, offset)
      if server.queue[1] then leave(server) else server.busy = false end
      if ok then
        done(session, ticket)
      else
        local text, errno = explain(e)
        complain(conn, "pwrite", text)
        session:fail(ticket, errno)
      end
    else
      perform(conn, kind, ticket, offset, x, fua, a, b)
    end
    kind, ticket, offset, x, fua, a, b = next_event(session)
  end
  return kind, ticket
end

-- Answers so many requests at the same time; at the end all that are under way.
local function parallel(conn, kind, ticket, offset, x, fua, a, b)
  local most, running, ended = conn.parallel, 0, {}
  while kind and kind ~= "end" do
    running = running + 1
    local k, t, o, d, f, e, g = kind, ticket, offset, x, fua, a, b
    thread(function()
      local ok, reason = pcall(perform, conn, k, t, o, d, f, e, g)
      running = running - 1
      fire(ended)
      if not ok then error(reason, 0) end
    end)
    while running >= most do wait(ended, 1) end
    kind, ticket, offset, x, fua, a, b = conn.session:next()
  end
  while running > 0 do wait(ended, 1) end
  return kind, ticket
end

local function is_request(kind) -- the others come alone, or are opening
  return kind ~= "open" and kind ~= "close" and kind ~= "tls" and kind ~= "end" and kind ~= nil
end

local function converse(conn)
  local session = conn.session
  local kind, ticket, offset, x, fua, a, b = session:next()
  while kind and kind ~= "end" do
    if is_request(kind) then
      local answer = conn.parallel and parallel or serial
      kind, ticket = answer(conn, kind, ticket, offset, x, fua, a, b)
      if not kind and ticket ~= "closed" then complain(conn, "connection", tostring(ticket)) end
      break -- nothing but requests follows a request, until the end
    elseif kind == "open" then
      open(conn, ticket)
    elseif kind == "close" then
      close_handle(conn)
    elseif not secure(conn) then
      break
    end
    kind, ticket, offset, x, fua, a, b = session:next()
    if not kind and ticket ~= "closed" then complain(conn, "connection", tostring(ticket)) end
  end
  if kind == "end" then session:finish() end
end

--- Serves a client until it leaves. Nothing is raised.
---@async
---@param conn table `session`, `sock`, `number`, `server`
function M.serve(conn)
  local ok, reason = pcall(converse, conn)
  if not ok then complain(conn, "connection", tostring(reason)) end
  close_handle(conn)
  conn.session:close()
end

return M
