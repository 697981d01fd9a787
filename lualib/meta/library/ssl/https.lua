---@meta ssl.https
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class ssl.https
local M = {}

--- Port of servers whose URL names none.
M.PORT = 443

--- Parameters of connections whose request does not say; see `ssl.Parameters`.
---@type ssl.Parameters
M.cfg = nil

--- What tells connections with different parameters apart.
---
--- `https.identity({ verify = "none" }) == https.identity({})  --> false`
---@param request table
---@return string
function M.identity(request) end

--- Makes a function that makes sockets whose `connect` shakes hands, for `create` of a request.
---
--- `local s = https.tcp({ verify = "none" })()`
--- `s:connect("127.0.0.1", 1)  --> nil, "connection refused"`
---@param request ssl.Parameters?
---@return fun(): table?, string?
function M.tcp(request) end

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
function M.request(request, body) end

return M
