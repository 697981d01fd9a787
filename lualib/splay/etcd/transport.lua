--- Requests of clients of etcd over kept connections, part of `splay.etcd`.
local socket = require "socket"
local url = require "socket.url"
local http = require "socket.http"
local ltn12 = require "ltn12"
local cjson = require "cjson"
local connection = require "socket.http_connection"

local pairs, pcall, tonumber, tostring, concat = pairs, pcall, tonumber, tostring, table.concat

local M = {}

--- A path without empty parts, `.` and `..`.
---@param path string
---@return string
function M.normalise(path)
  local parts = {}
  for part in path:gmatch("[^/]+") do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return "/" .. concat(parts, "/")
end

--- A text as it may stand in a URL.
---@param text string
---@param kept string? characters that stay as they are
---@return string
function M.escape(text, kept)
  return (text:gsub("[^%w%-%._~" .. (kept or "") .. "]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

--- A query or form of names and values, in order; those whose value is false are left out.
---@param list table
---@return string
function M.fields(list)
  local parts = {}
  for i = 1, #list, 2 do
    if list[i + 1] then parts[#parts + 1] = list[i] .. "=" .. M.escape(tostring(list[i + 1])) end
  end
  return concat(parts, "&")
end

--- What connections to a server are made of.
---@param address string URL
---@return table? where nil, "reason"
---@return string? reason
function M.endpoint(address)
  local parts = url.parse(address, { scheme = "http" })
  local scheme = parts and http.SCHEMES[parts.scheme]
  if not scheme or not parts.host then return nil, "invalid url '" .. tostring(address) .. "'" end
  local where = {
    scheme = parts.scheme, host = parts.host, port = tonumber(parts.port) or scheme.port,
    pooled = true, address = parts.scheme .. "://" .. parts.authority,
  }
  if parts.user then
    local mime = require "mime"
    local text = url.unescape(parts.user) .. ":" .. url.unescape(parts.password or "")
    where.authorization = "Basic " .. mime.b64(text)
  end
  where.create = scheme.create(where)
  return where
end

-- One request to one server. `state` tells how far it came.
local exchange = socket.protect(function(state, where, ask, fresh)
  local settings = { TIMEOUT = ask.timeout > 0 and ask.timeout or nil, KEEPALIVE = http.KEEPALIVE }
  local c = fresh and connection.new(where, settings) or connection.get(where, settings)
  state.connected, state.reused = true, c.reused
  local lines = {
    ("%s %s HTTP/1.1\r\nHost: %s:%d"):format(ask.method, ask.target, where.host, where.port),
  }
  local function add(name, value)
    local line = name .. ": " .. value
    if line:find("[%z\r\n]") then c.try(nil, "invalid header '" .. name .. "'") end
    lines[#lines + 1] = line
  end
  if where.authorization then add("Authorization", where.authorization) end
  for name, value in pairs(ask.headers) do add(name, value) end
  if ask.body then
    add("Content-Type", ask.kind)
    add("Content-Length", #ask.body)
  end
  -- At once: a second packet would wait until the first is acknowledged.
  c.try(c.c:send(concat(lines, "\r\n") .. "\r\n\r\n" .. (ask.body or "")))
  local code = c:receivestatusline()
  if not code then c.try(nil, "malformed status line") end
  state.answered = true
  local header = c:receiveheaders()
  local sink, parts = ltn12.sink.table()
  if code == 204 then c.complete = true else c:receivebody(header, sink) end
  connection.put(c, where, header, settings)
  return code, header, concat(parts)
end)

local function is_json(header)
  local kind = header["content-type"]
  return kind and kind:match("^%s*([^;%s]+)") == "application/json"
end

--- The answer of one server.
---@async
---@param where table an endpoint
---@param ask { method: string, target: string, body: string?, kind: string?, timeout: integer,
--- headers: table<string, string> }
---@return splay.etcd.Answer? answer nil, a reason and whether the server could be reached
---@return string? reason
---@return boolean? connected
function M.once(where, ask)
  local state = {}
  local code, header, body = exchange(state, where, ask)
  local unheard = state.reused and not state.answered and header ~= "timeout"
  if not code and unheard and ask.method == "GET" then
    -- It was closed at the same moment.
    code, header, body = exchange(state, where, ask, true)
  end
  if not code then return nil, header, state.connected end
  local answer = { status = code, header = header, body = body }
  if is_json(header) and body ~= "" then
    local ok, decoded = pcall(cjson.decode, body)
    if not ok then return nil, tostring(decoded), true end
    answer.body = decoded
  end
  return answer
end

return M
