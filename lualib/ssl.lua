--- TLS over the sockets of this library, in the manner of LuaSec: `wrap` takes a connection over
--- and returns one that encrypts. Its methods are those of a TCP socket, and a few more (see
--- `Tls`); what waits suspends the calling thread and no other.
---
--- Other than LuaSec, a client checks the server's certificate if it is not told otherwise.
---
--- ```lua not run: a server with a certificate is needed
--- local c = socket.connect("localhost", 443)
--- c = ssl.wrap(c, { mode = "client", cafile = "ca.pem" })
--- c:sni("localhost")
--- assert(c:dohandshake())  --> true
--- c:send("GET / HTTP/1.0\r\n\r\n")
--- ```
---
--- Since: 0.1
local core = require "splay.tls_core"

local M = { _VERSION = "1.3.2" }

---@class ssl.Parameters
---@field mode "client"|"server"|nil "client" if absent
---@field protocol string? "any" (TLS 1.2 and 1.3) if absent, "tlsv1_2" or "tlsv1_3"
---@field verify string|string[]|nil "peer" or "none"; a client: "peer" if absent, a server: "none"
---@field cafile string? file of certificates to trust, PEM; those of the web if absent
---@field certificate string? file of one's own certificate and those above it, PEM
---@field key string? file of one's own private key, PEM, not encrypted
---@field ca string? what `cafile` would contain
---@field certificate_pem string? what `certificate` would contain
---@field key_pem string? what `key` would contain
---@field alpn string|string[]|nil application protocols, preferred ones first
---@field server_name string? the server's name, if `sni` does not give it

---@class ssl.Context
---@field server_name string?

-- Protocol names of LuaSec: oldest and newest version.
local versions = { any = { 2, 3 }, sslv23 = { 2, 3 }, tlsv1_2 = { 2, 2 }, tlsv1_3 = { 3, 3 } }

local function read(path)
  local file, reason = io.open(path, "rb")
  if not file then return nil, reason end
  local content = file:read("*a")
  file:close()
  return content
end

-- "peer" or "none", of what LuaSec accepts for `verify`.
local function verifies(verify, server)
  if verify == nil then return not server end
  if type(verify) ~= "table" then verify = { verify } end
  local found = false
  for _, word in ipairs(verify) do
    if word == "peer" then
      found = true
    elseif word ~= "none" and word ~= "client_once" and word ~= "fail_if_no_peer_cert" then
      return nil, "invalid verify option (" .. tostring(word) .. ")"
    end
  end
  return found
end

--- Makes a context: what several connections have in common.
---
--- ```lua
--- ssl.newcontext({ mode = "client", verify = "none" }).core ~= nil  --> true
--- ssl.newcontext({ mode = "server", certificate = "gone.pem" })
---   --> nil, "gone.pem: No such file or directory"
--- ```
---
--- Errors: `nil, "reason"`: "invalid mode (X)", "invalid protocol (X)", "invalid verify option
--- (X)", "too many TLS contexts", and those of files.
---@param parameters ssl.Parameters
---@return ssl.Context? context nil, "reason"
---@return string? reason
function M.newcontext(parameters)
  local mode = parameters.mode or "client"
  if mode ~= "client" and mode ~= "server" then
    return nil, "invalid mode (" .. tostring(mode) .. ")"
  end
  local version = versions[parameters.protocol or "any"]
  if not version then
    return nil, "invalid protocol (" .. tostring(parameters.protocol) .. ")"
  end
  if parameters.capath then return nil, "capath is not supported" end
  local verify, reason = verifies(parameters.verify, mode == "server")
  if verify == nil then return nil, reason end
  local alpn = parameters.alpn
  local settings = {
    server = mode == "server", verify = verify, oldest = version[1], newest = version[2],
    alpn = type(alpn) == "string" and { alpn } or alpn,
    authorities = parameters.ca,
    certificate = parameters.certificate_pem,
    key = parameters.key_pem,
  }
  for setting, file in pairs {
    authorities = parameters.cafile, certificate = parameters.certificate, key = parameters.key,
  } do
    settings[setting], reason = read(file)
    if not settings[setting] then return nil, reason end
  end
  local context
  context, reason = core.context(settings)
  if not context then return nil, reason end
  return { core = context, server_name = parameters.server_name }
end

--- Makes a connection encrypt. The handshake is to follow; the old object is closed.
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 20500))
--- local c = assert(socket.connect("127.0.0.1", 20500))
--- c = ssl.wrap(c, { mode = "client", verify = "none" })
--- c:send("too early")  --> nil, "handshake not done", ...
--- ```
---
--- Errors: `nil, "reason"`, those of `newcontext`.
---@param sock splay.Tcp a connected socket
---@param parameters ssl.Parameters|ssl.Context
---@return splay.Tls? connection nil, "reason"
---@return string? reason
function M.wrap(sock, parameters)
  local context, reason = parameters, nil
  if not parameters.core then
    context, reason = M.newcontext(parameters)
    if not context then return nil, reason end
  end
  return core.wrap(sock, context.core, context.server_name)
end

return M
