---@meta ssl
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

---@class ssl
local M = {}

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
function M.newcontext(parameters) end

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
function M.wrap(sock, parameters) end

return M
