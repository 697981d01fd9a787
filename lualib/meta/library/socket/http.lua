---@meta socket.http
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

--- ```lua
--- net.server(20082, function(s)
---   repeat local line = s:receive() until not line or line == ""
---   s:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
--- end)
--- local c = http.open("127.0.0.1", 20082)
--- ```
---@class socket.http.Connection
---@field c splay.Tcp|splay.Tls
---@field try fun(...): ...
local Connection = {}

---@class socket.http
---@field PROXY string? URL of a proxy for all requests
local M = {}

--- Seconds that one step of a request may take.
M.TIMEOUT = 60

--- Seconds that an idle connection is kept.
M.KEEPALIVE = 15

--- What requests say of the client.
---@type string
M.USERAGENT = nil

--- By scheme: port, and what makes a function that makes sockets for a request.
---
--- `http.SCHEMES.https.port  --> 443`
---@type table<string, {port: integer, create: fun(request: table): fun(): table?, string?}>
M.SCHEMES = nil

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
function M.request(request, body) end

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
function M.open(host, port, create) end

--- Closes the connections that were kept.
---
--- `http.close_idle()`
function M.close_idle() end

--- Sends the first line of a request; it leaves with the fields.
---
--- `c:sendrequestline("GET", "/")`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@param method string?
---@param uri string
function Connection:sendrequestline(method, uri) end

--- Sends the fields of a request.
---
--- `c:sendrequestline("GET", "/")`
--- `c:sendheaders({ host = "localhost" })`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param fields table<string, string|number>
function Connection:sendheaders(fields) end

--- Sends a body: as it is if the fields tell its length, else in chunks.
---
--- ```lua
--- c:sendrequestline("PUT", "/")
--- c:sendheaders({ ["content-length"] = 2 })
--- c:sendbody({ ["content-length"] = 2 }, ltn12.source.string("hi"))
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param fields table<string, string|number>
---@param source ltn12.Source?
---@param step function?
function Connection:sendbody(fields, source, step) end

--- Receives the first line of a response.
---
--- ```lua
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- c:receivestatusline()  --> 200, "HTTP/1.1 200 OK"
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@return integer? code nil: the response has no first line (HTTP/0.9)
---@return string status the line, or what came instead
function Connection:receivestatusline() end

--- Receives the fields of a response.
---
--- ```lua
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- c:receivestatusline()
--- c:receiveheaders()  --> { ["content-length"] = "5" }
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@return table<string, string> fields by names in small letters
function Connection:receiveheaders() end

--- Receives the body of a response.
---
--- ```lua
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- c:receivestatusline()
--- local sink, parts = ltn12.sink.table()
--- c:receivebody(c:receiveheaders(), sink)
--- parts  --> { "hello" }
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param fields table<string, string> of the response; gets those that follow the body
---@param sink ltn12.Sink
---@param step function?
function Connection:receivebody(fields, sink, step) end

--- Receives the rest of a response that has no first line.
---
--- ```lua
--- c:sendrequestline("GET", "/")
--- c:sendheaders({})
--- local sink, parts = ltn12.sink.table()
--- c:receive09body("", sink)
--- table.concat(parts):match("hello")  --> "hello"
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`.
---@async
---@param beginning string what has been received of it
---@param sink ltn12.Sink
---@param step function?
function Connection:receive09body(beginning, sink, step) end

--- Closes the connection.
---
--- `c:close()  --> 1`
function Connection:close() end

return M
