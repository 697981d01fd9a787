--- The text of mail messages, piece by piece, for `socket.smtp`.
local socket = require "socket"

local M = {}

-- Numbers the boundaries of this instance.
local boundaries = 0

local function new_boundary()
  boundaries = boundaries + 1
  return ("=_%s%05d_%d"):format(os.date("!%d%m%Y%H%M%S"), math.random(0, 99999), boundaries)
end

local function small(headers)
  local lowered = {}
  for name, value in pairs(headers or {}) do lowered[name:lower()] = value end
  return lowered
end

local function header_text(headers, canonic)
  local lines = {}
  for name, value in pairs(headers) do
    lines[#lines + 1] = canonic[name] .. ": " .. tostring(value) .. "\r\n"
  end
  table.sort(lines)
  lines[#lines + 1] = "\r\n"
  return table.concat(lines)
end

-- Days and months have their English names whatever the locale is.
local function date(zone)
  local now = os.date("!*t")
  local days = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
  local months = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  }
  return ("%s, %02d %s %d %02d:%02d:%02d %s"):format(
    days[now.wday], now.day, months[now.month], now.year, now.hour, now.min, now.sec, zone)
end

local send -- emits a message, part by part

local function send_multipart(message, headers, canonic, emit)
  local boundary = new_boundary()
  local kind = headers["content-type"] or "multipart/mixed"
  headers["content-type"] = kind .. '; boundary="' .. boundary .. '"'
  emit(header_text(headers, canonic))
  if message.body.preamble then emit(message.body.preamble .. "\r\n") end
  for _, part in ipairs(message.body) do
    emit("\r\n--" .. boundary .. "\r\n")
    send(part, small(part.headers), canonic, emit)
  end
  emit("\r\n--" .. boundary .. "--\r\n\r\n")
  if message.body.epilogue then emit(message.body.epilogue .. "\r\n") end
end

function send(message, headers, canonic, emit)
  local body = message.body
  if type(body) == "table" then return send_multipart(message, headers, canonic, emit) end
  headers["content-type"] = headers["content-type"] or 'text/plain; charset="iso-8859-1"'
  emit(header_text(headers, canonic))
  if type(body) == "function" then
    while true do
      local chunk, reason = body()
      if reason then emit(nil, reason) end
      if not chunk then break end
      emit(chunk)
    end
  elseif body then
    emit(tostring(body))
  end
end

--- Makes the source of a message.
---
--- `smtp_message.source({body = "hello"}, "-0000", canonic)() --> "Content-Type: ..."`
---@param message socket.smtp.Message
---@param zone string
---@param canonic table<string, string>
---@return ltn12.Source
function M.source(message, zone, canonic)
  local headers = small(message.headers)
  headers["date"] = headers["date"] or date(zone)
  headers["x-mailer"] = headers["x-mailer"] or socket._VERSION
  headers["mime-version"] = "1.0"
  local produce = coroutine.wrap(function()
    send(message, headers, canonic, coroutine.yield)
    return nil
  end)
  local ended = false
  return function()
    if ended then return nil end
    local chunk, reason = produce()
    ended = chunk == nil
    return chunk, reason
  end
end

return M
