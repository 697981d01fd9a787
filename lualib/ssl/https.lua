--- HTTPS: `socket.http` over TLS. Besides the fields of a request of `socket.http` there are those
--- of `ssl.Parameters`: `cafile`, `verify`, `certificate`, `key`, `protocol`. The server's
--- certificate is checked, and its name, unless `verify = "none"`.
---
--- ```lua not run: a server with a certificate is needed
--- local body, code = https.request("https://localhost/")
--- https.request{ url = "https://localhost:8443/", cafile = "ca.pem", sink = sink }
--- ```
---
--- Since: 0.1
local socket = require "socket"
local ssl = require "ssl"
local http = require "socket.http"

---@class ssl.https
local M = {
  _VERSION = "1.3.2",
  --- Port of servers whose URL names none.
  PORT = 443,
  --- Parameters of connections whose request does not say; see `ssl.Parameters`.
  ---@type ssl.Parameters
  cfg = { protocol = "any", verify = "peer" },
}

local names = {
  "protocol", "verify", "cafile", "certificate", "key", "ca", "certificate_pem", "key_pem", "alpn",
  "capath", "server_name",
}

-- The i-th parameter of a request, or that of all requests.
local function parameter(request, i)
  local value = request[names[i]]
  if value == nil then return M.cfg[names[i]] end
  return value
end

--- What tells connections with different parameters apart.
---
--- `https.identity({ verify = "none" }) == https.identity({})  --> false`
---@param request table
---@return string
function M.identity(request)
  local values = {}
  for i = 1, #names do values[i] = tostring(parameter(request, i)) end
  return table.concat(values, "\0")
end

-- Contexts by what tells them apart; a few serve most programs.
local contexts, count = {}, 0

local function context_of(request)
  local identity = M.identity(request)
  local context, reason = contexts[identity], nil
  if context then return context end
  local parameters = {}
  for i, name in ipairs(names) do parameters[name] = parameter(request, i) end
  context, reason = ssl.newcontext(parameters)
  if not context then return nil, reason end
  if count == 8 then contexts, count = {}, 0 end
  contexts[identity], count = context, count + 1
  return context
end

-- Asks a proxy to connect, and returns the reason if it does not.
local function tunnel(sock, request)
  local proxy, host = request.proxy, request.host
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  host = host .. ":" .. request.port
  local lines = { "CONNECT " .. host .. " HTTP/1.1", "Host: " .. host }
  if proxy.user then
    local mime, url = require "mime", require "socket.url"
    local text = url.unescape(proxy.user) .. ":" .. url.unescape(proxy.password or "")
    lines[3] = "Proxy-Authorization: Basic " .. mime.b64(text)
  end
  lines[#lines + 1] = "\r\n"
  local ok, reason = sock:send(table.concat(lines, "\r\n"))
  if not ok then return reason end
  local status
  status, reason = sock:receive("*l")
  if not status then return reason end
  repeat
    local line
    line, reason = sock:receive("*l")
    if not line then return reason end
  until line == ""
  if not status:match("^HTTP/%d%.%d 2%d%d") then return "proxy: " .. status end
end

-- Connects and shakes hands; the methods that follow are those of the connection.
local function connect(self, request, host, port)
  local proxy = request.proxy
  local ok, reason = self.sock:connect(proxy and proxy.host or host, proxy and proxy.port or port)
  if not ok then return nil, reason end
  if proxy then
    reason = tunnel(self.sock, request)
    if reason then return nil, reason end
  end
  local context
  context, reason = context_of(request)
  if not context then return nil, reason end
  local wrapped
  wrapped, reason = ssl.wrap(self.sock, context)
  if not wrapped then return nil, reason end
  if not context.server_name then wrapped:sni(host) end
  self.sock = wrapped
  ok, reason = wrapped:dohandshake()
  if not ok then return nil, reason end
  return 1
end

--- Makes a function that makes sockets whose `connect` shakes hands, for `create` of a request.
---
--- `local s = https.tcp({ verify = "none" })()`
--- `s:connect("127.0.0.1", 1)  --> nil, "connection refused"`
---@param request ssl.Parameters?
---@return fun(): table?, string?
function M.tcp(request)
  request = request or {}
  return function()
    local sock, reason = socket.tcp()
    if not sock then return nil, reason end
    local self = { sock = sock }
    function self:connect(host, port) return connect(self, request, host, port) end
    return setmetatable(self, {
      __index = function(t, name)
        local method = t.sock[name]
        if method == nil then return nil end
        local function forward(this, ...) return this.sock[name](this.sock, ...) end
        t[name] = forward
        return forward
      end,
    })
  end
end

--- Requests a URL over TLS; arguments and results are those of `socket.http`'s `request`.
---
--- ```lua not run: a server with a certificate is needed
--- https.request("https://localhost/")  --> "<html>...", 200, {...}, "HTTP/1.1 200 OK"
--- ```
---
--- Errors: `nil, "reason"`: those of `http.request`, "proxy: STATUS LINE", and those of TLS.
---@async
---@param request string|socket.http.Request
---@param body string?
---@return string|integer|nil body 1 where the request is a table; nil, "reason"
---@return integer|string code
---@return table<string, string>? headers
---@return string? status
function M.request(request, body)
  local more = { scheme = "https" }
  local given = type(request) == "table" and request or { url = request }
  local address = given.url and require("socket.url").parse(given.url)
  if given.port == nil and not (address and address.port) then more.port = M.PORT end
  return http._request(request, body, more)
end

return M
