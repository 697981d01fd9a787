---@meta socket.smtp
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

--- ```lua
--- net.server(20026, function(s)
---   s:send("220 ready\r\n")
---   for line in function() return s:receive() end do
---     if line == "DATA" then
---       s:send("354 go on\r\n")
---       repeat line = s:receive() until not line or line == "."
---     end
---     s:send((line == "AUTH LOGIN" and "334 name" or "250 ok") .. "\r\n")
---   end
--- end)
--- local s = smtp.open("127.0.0.1", 20026)
--- ```
---@class socket.smtp.Connection
---@field tp socket.tp.Connection
---@field try fun(...): ...
local Connection = {}

---@class socket.smtp.Mail
---@field from string sender, in angle brackets
---@field rcpt string|string[] receivers, in angle brackets
---@field source ltn12.Source the message, see `message`
---@field user string?
---@field password string?
---@field server string?
---@field port integer?
---@field domain string? the client's name
---@field step function?
---@field create (fun(): table?, string?)?
---@field starttls ssl.Parameters|boolean|nil encrypt before anything is sent

---@class socket.smtp.Message
---@field headers table<string, string>?
---@field body string|ltn12.Source|socket.smtp.Multipart|nil

---@class socket.smtp.Multipart
---@field preamble string? before the parts
---@field epilogue string? after the parts
---@field [integer] socket.smtp.Message

---@class socket.smtp
local M = {}

--- Seconds that one step may take.
M.TIMEOUT = 60

--- Server of mails that name none.
M.SERVER = "localhost"

--- Port of mails that name none.
M.PORT = 25

--- The name the client greets with.
M.DOMAIN = "localhost"

--- Offset of the zone that dates are given in.
M.ZONE = "-0000"

--- Greets the server and returns what it offers.
---
--- `s:greet()  --> "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param domain string?
---@return string extensions
function Connection:greet(domain) end

--- Says hello, at first and after the connection was encrypted.
---
--- `s.tp:check(220)`
--- `s:hello("me")  --> "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param domain string?
---@return string extensions
function Connection:hello(domain) end

--- Encrypts the connection.
---
--- ```lua not run: a server with a certificate is needed
--- s:starttls({ mode = "client", cafile = "ca.pem" })
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param parameters ssl.Parameters
function Connection:starttls(parameters) end

--- Begins a mail.
---
--- `s:greet()`
--- `s:mail("<me@localhost>")  --> 250, "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param from string address in angle brackets
function Connection:mail(from) end

--- Adds a receiver.
---
--- `s:greet()`
--- `s:rcpt("<you@localhost>")  --> 250, "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param to string address in angle brackets
function Connection:rcpt(to) end

--- Sends the message, which has to be stuffed (see `mime.stuff`).
---
--- `s:greet()`
--- `s:data(ltn12.source.string("hello"))  --> 250, "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param source ltn12.Source
---@param step function?
function Connection:data(source, step) end

--- Says goodbye.
---
--- `s:greet()`
--- `s:quit()  --> 250, "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
function Connection:quit() end

--- Closes the connection.
---
--- `s:close()  --> 1`
---@return integer one
function Connection:close() end

--- Logs in by AUTH LOGIN.
---
--- ```lua not run: a server that asks for a name and a password is needed
--- s:greet()
--- s:login("me", "secret")
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param user string
---@param password string
function Connection:login(user, password) end

--- Logs in by AUTH PLAIN.
---
--- `s:greet()`
--- `s:plain("me", "secret")  --> 250, "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param user string
---@param password string
function Connection:plain(user, password) end

--- Logs in by a way the server offers, if user and password are given.
---
--- ```lua not run: a server that offers it is needed
--- s:auth("me", "secret", "250 AUTH PLAIN")
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param user string?
---@param password string?
---@param extensions string what `greet` returned
function Connection:auth(user, password, extensions) end

--- Sends one mail over the connection.
---
--- ```lua
--- s:greet()
--- local source = ltn12.source.string("hello")
--- s:send{ from = "<me@localhost>", rcpt = "<you@localhost>", source = source }
--- --> 250, "250 ok"
--- ```
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param mail socket.smtp.Mail
function Connection:send(mail) end

--- Connects to a server. The methods of the object raise what `socket.protect` catches.
---
--- `socket.protect(smtp.open)("127.0.0.1", 1)  --> nil, "connection refused"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param server string?
---@param port integer?
---@param create (fun(): table?, string?)?
---@return socket.smtp.Connection
function M.open(server, port, create) end

--- Sends a mail.
---
--- ```lua
--- smtp.send{ from = "<me@localhost>", rcpt = "<you@localhost>", server = "127.0.0.1", port = 1 }
--- --> nil, "connection refused"
--- ```
---
--- Errors: `nil, "reason"`: what the server replied, "authentication not supported", "invalid
--- command", or those of the network and of TLS.
---@async
---@param mail socket.smtp.Mail
---@return integer? one nil, "reason": the server's reply, or that of the network
---@return string? reason
function M.send(mail) end

--- Makes the source of a message. `body` is a string, a source, or a list of messages, which are
--- its parts. The source may be used once.
---
--- `local source = smtp.message{ headers = { subject = "hello" }, body = "Hello!\r\n" }`
--- `source():match("Subject: hello")  --> "Subject: hello"`
---@param message socket.smtp.Message
---@return ltn12.Source
function M.message(message) end

return M
