--- HTTP/1.1 clients by LuaSocket's interface: sources, sinks, redirects, proxies, chunks; HTTPS
--- under the same functions (see `ssl.https` for its parameters); connections kept for the next
--- request where `keepalive` asks for it. What waits suspends the calling thread and no other.
---
--- ```lua not run: it shows forms alone
--- local body, code, headers, status = http.request("http://localhost/")
--- body, code = http.request("http://localhost/form", "a=1&b=2")
--- http.request{ url = "http://localhost/", sink = ltn12.sink.file(io.open("page", "wb")) }
--- ```
---
--- Since: 0.1
local socket = require "socket"
local url = require "socket.url"
local ltn12 = require "ltn12"
local connection = require "socket.http_connection"

---@class socket.http
---@field PROXY string? URL of a proxy for all requests
local M = {
  --- Seconds that one step of a request may take.
  TIMEOUT = 60,
  --- Seconds that an idle connection is kept.
  KEEPALIVE = 15,
  --- What requests say of the client.
  ---@type string
  USERAGENT = socket._VERSION,
}

---@class socket.http.Request
---@field url string? or its parts, `host`, `port`, `path` and so on, which come first
---@field sink ltn12.Sink? gets the body of the response
---@field source ltn12.Source? gives the body of the request
---@field method string? "GET" if absent
---@field headers table<string, string|number>? fields of the request
---@field step (fun(src: ltn12.Source, snk: ltn12.Sink): any, any)? moves a chunk
---@field proxy string? URL of a proxy
---@field redirect boolean? false: redirections are results like others
---@field maxredirects integer|false|nil 5 if absent; false: no limit
---@field unsaferedirect boolean? follow redirections from HTTPS to HTTP
---@field create (fun(): table, string?)? makes the socket
---@field keepalive boolean? keep the connection for the next request, or use one that was kept

--- By scheme: port, and what makes a function that makes sockets for a request.
---
--- `http.SCHEMES.https.port  --> 443`
---@type table<string, {port: integer, create: fun(request: table): fun(): table?, string?}>
M.SCHEMES = {
  http = { port = 80, create = function() return socket.tcp end },
  https = { port = 443, create = function(request) return require("ssl.https").tcp(request) end },
}

local idempotent = { GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true }
-- Fields that are meant for one server, not for the one a redirection leads to.
local private = { authorization = true, cookie = true, ["proxy-authorization"] = true, host = true }

local function basic(user, password)
  local mime = require "mime"
  local text = url.unescape(user) .. ":" .. url.unescape(password or "")
  return "Basic " .. mime.b64(text)
end

-- What a request line may not contain.
local function escape(text)
  return (text:gsub("[%z\1-\32\127]", function(c) return ("%%%02x"):format(c:byte()) end))
end

local function host_field(request, default_port)
  local host = request.host
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  if request.port ~= default_port then host = host .. ":" .. request.port end
  return host
end

local function adjust_headers(request, default_port)
  local fields = {
    ["user-agent"] = M.USERAGENT,
    host = host_field(request, default_port),
    connection = request.keepalive and "keep-alive, TE" or "close, TE",
    te = "trailers",
  }
  if request.user then fields.authorization = basic(request.user, request.password) end
  if request.proxy and request.scheme == "http" then
    fields["proxy-authorization"] = request.proxy.user
      and basic(request.proxy.user, request.proxy.password)
  end
  for name, value in pairs(request.headers or {}) do fields[tostring(name):lower()] = value end
  if request.source and not fields["content-length"] then
    fields["transfer-encoding"] = fields["transfer-encoding"] or "chunked"
  end
  return fields
end

-- A copy of a request with everything filled in.
local function adjust(given)
  local request = {}
  if given.url then
    request = socket.try(url.parse(given.url, { scheme = "http", path = "/" }))
  end
  for name, value in pairs(given) do request[name] = value end
  request.scheme = (request.scheme or "http"):lower()
  local scheme = M.SCHEMES[request.scheme]
  if not scheme then socket.try(nil, "unknown scheme '" .. request.scheme .. "'") end
  if not request.host or request.host == "" then
    socket.try(nil, "invalid host '" .. tostring(request.host) .. "'")
  end
  request.port = tonumber(request.port or scheme.port)
  if not request.port then socket.try(nil, "invalid port") end
  request.method = (given.method or "GET"):upper()
  local proxy = given.proxy or M.PROXY
  if type(proxy) == "string" then
    proxy = socket.try(url.parse(proxy, { scheme = "http", port = 3128 }))
  end
  request.proxy = proxy or nil
  if not given.uri then
    local parts = { path = request.path or "/", params = request.params, query = request.query }
    if parts.path == "" then parts.path = "/" end
    if proxy and request.scheme == "http" then
      parts.scheme, parts.authority = "http", host_field(request, scheme.port)
    end
    request.uri = escape(url.build(parts))
  end
  request.headers = adjust_headers(request, scheme.port)
  request.create = given.create or scheme.create(request)
  request.pooled = given.keepalive and not given.create
  return request
end

local function should_redirect(request, code, location)
  if request.redirect == false or not location or not location:find("%S") then return false end
  if not (code == 301 or code == 302 or code == 303 or code == 307 or code == 308) then
    return false
  end
  if request.method ~= "GET" and request.method ~= "HEAD" then return false end
  local limit = request.maxredirects
  if limit ~= false and (request.nredirects or 0) >= (limit or 5) then return false end
  local to = url.parse(location)
  local scheme = to and to.scheme and to.scheme:lower() or request.scheme
  if not M.SCHEMES[scheme] then return false end
  return request.scheme ~= "https" or scheme == "https" or request.unsaferedirect or false
end

-- The request that a redirection asks for.
local function redirected(given, request, location)
  local base = {
    scheme = request.scheme, host = request.host, path = request.path or "/",
    params = request.params, query = request.query,
    port = request.port ~= M.SCHEMES[request.scheme].port and request.port or nil,
  }
  local target = url.absolute(base, location)
  local copy = {}
  for name, value in pairs(given) do copy[name] = value end
  for _, part in ipairs {
    "scheme", "authority", "userinfo", "user", "password", "host", "port", "path", "params",
    "query", "fragment", "uri",
  } do
    copy[part] = nil
  end
  copy.url, copy.nredirects = target, (given.nredirects or 0) + 1
  local to = url.parse(target)
  local port = tonumber(to.port or M.SCHEMES[to.scheme:lower()].port)
  if to.host ~= request.host or port ~= request.port or to.scheme:lower() ~= request.scheme then
    copy.headers = {}
    for name, value in pairs(given.headers or {}) do
      if not private[tostring(name):lower()] then copy.headers[name] = value end
    end
  elseif request.user and not to.user then
    copy.user, copy.password = request.user, request.password
  end
  return copy
end

-- Sends a request and returns the code and status line of the response.
local function exchange(c, request)
  c:sendrequestline(request.method, request.uri)
  c:sendheaders(request.headers)
  if request.source then c:sendbody(request.headers, request.source, request.step) end
  return c:receivestatusline()
end

local function has_body(request, code)
  return request.method ~= "HEAD" and code ~= 204 and code ~= 304 and code >= 200
end

local perform

local function begin(request)
  local c = connection.get(request, M)
  if not c.reused or request.source or not idempotent[request.method] then
    return c, exchange(c, request)
  end
  -- The server may have closed it at the same moment: that is no failure of this request.
  local ok, code, status = pcall(exchange, c, request)
  if ok then return c, code, status end
  c = connection.new(request, M)
  return c, exchange(c, request)
end

function perform(given)
  local request = adjust(given)
  local sink = request.sink or ltn12.sink.null()
  local c, code, status = begin(request)
  if not code then
    c:receive09body(status, sink, request.step)
    c:close()
    return 1, 200
  end
  while code >= 100 and code < 200 and code ~= 101 do
    c:receiveheaders()
    code, status = c:receivestatusline()
  end
  local headers = c:receiveheaders()
  if not request.source and should_redirect(request, code, headers.location) then
    c:close()
    local ok, last_code, last_headers, last_status =
      perform(redirected(given, request, headers.location))
    if last_headers then last_headers.location = last_headers.location or headers.location end
    return ok, last_code, last_headers, last_status
  end
  if has_body(request, code) then
    c:receivebody(headers, sink, request.step)
  else
    sink(nil)
    c.complete = true
  end
  connection.put(c, request, headers, M)
  return 1, code, headers, status
end

local function simple(address, body, more)
  local parts = {}
  local request = { url = address, sink = (ltn12.sink.table(parts)) }
  for name, value in pairs(more or {}) do request[name] = value end
  if body then
    request.method, request.source = "POST", ltn12.source.string(body)
    request.headers = {
      ["content-length"] = #body,
      ["content-type"] = "application/x-www-form-urlencoded",
    }
  end
  local _, code, headers, status = perform(request)
  return table.concat(parts), code, headers, status
end

--- Requests a URL, with POST if there is a body, or what a table says. Codes other than 200 are
--- results, not errors.
---
--- ```lua
--- net.server(20080, function(s)
---   repeat local line = s:receive() until not line or line == ""
---   s:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
--- end)
--- http.request("http://127.0.0.1:20080/")
---   --> "hello", 200, { ["content-length"] = "5" }, "HTTP/1.1 200 OK"
--- http.request{ url = "http://127.0.0.1:20080/", method = "HEAD" }  --> 1, 200, ...
--- ```
---
--- Errors: `nil, "reason"`: "invalid url", "malformed status line" and others; see
--- [errors](../errors.md).
---@async
---@param request string|socket.http.Request
---@param body string?
---@return string|integer|nil body 1 where the request is a table; nil, "reason"
---@return integer|string code
---@return table<string, string>? headers by names in small letters
---@return string? status the first line of the response
M.request = socket.protect(function(request, body)
  if type(request) == "string" then return simple(request, body) end
  return perform(request)
end)

-- What `ssl.https` is made of: more fields for the simple form of a request.
M._request = socket.protect(function(request, body, more)
  if type(request) == "string" then return simple(request, body, more) end
  local copy = {}
  for name, value in pairs(request) do copy[name] = value end
  for name, value in pairs(more) do copy[name] = value end
  return perform(copy)
end)

--- Connects to a server; the object sends and receives the parts of messages one by one.
---
--- ```lua
--- net.server(20081, function(s)
---   repeat local line = s:receive() until not line or line == ""
---   s:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
--- end)
--- local c = http.open("127.0.0.1", 20081)
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- c:receivestatusline()  --> 200, "HTTP/1.1 200 OK"
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param host string
---@param port integer?
---@param create (fun(): table, string?)?
---@return socket.http.Connection
function M.open(host, port, create)
  return connection.open(host, port or M.SCHEMES.http.port, create or socket.tcp, M.TIMEOUT)
end

--- Closes the connections that were kept.
---
--- `http.close_idle()`
function M.close_idle() connection.close_idle() end

return M
