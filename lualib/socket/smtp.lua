--- Sends mail by SMTP: messages of headers, texts and attachments, made on the fly.
---
--- ```lua
--- net.server(20027, function(s)
---   s:send("220 ready\r\n")
---   for line in function() return s:receive() end do
---     if line == "DATA" then
---       s:send("354 go on\r\n")
---       repeat line = s:receive() until not line or line == "."
---     end
---     s:send((line == "AUTH LOGIN" and "334 name" or "250 ok") .. "\r\n")
---   end
--- end)
--- smtp.send{
---   from = "<me@localhost>", rcpt = "<you@localhost>", server = "127.0.0.1", port = 20027,
---   source = smtp.message{ headers = { subject = "hello" }, body = "Hello!\r\n" },
--- }  --> 1
--- ```
---
--- Since: 0.1
local socket = require "socket"
local ltn12 = require "ltn12"
local mime = require "mime"
local tp = require "socket.tp"
local canonic = require("socket.headers").canonic

---@class socket.smtp
local M = {
  --- Seconds that one step may take.
  TIMEOUT = 60,
  --- Server of mails that name none.
  SERVER = "localhost",
  --- Port of mails that name none.
  PORT = 25,
  --- The name the client greets with.
  DOMAIN = "localhost",
  --- Offset of the zone that dates are given in.
  ZONE = "-0000",
}

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
Connection.__index = Connection

--- Greets the server and returns what it offers.
---
--- `s:greet()  --> "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param domain string?
---@return string extensions
function Connection:greet(domain)
  self.try(self.tp:check("2.."))
  return self:hello(domain)
end

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
function Connection:hello(domain)
  self.try(self.tp:command("EHLO", domain or M.DOMAIN))
  return (socket.skip(1, self.try(self.tp:check("2.."))))
end

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
function Connection:starttls(parameters)
  self.try(self.tp:command("STARTTLS"))
  self.try(self.tp:check("2.."))
  return self.try(self.tp:secure(parameters))
end

--- Begins a mail.
---
--- `s:greet()`
--- `s:mail("<me@localhost>")  --> 250, "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param from string address in angle brackets
function Connection:mail(from)
  self.try(self.tp:command("MAIL", "FROM:" .. from))
  return self.try(self.tp:check("2.."))
end

--- Adds a receiver.
---
--- `s:greet()`
--- `s:rcpt("<you@localhost>")  --> 250, "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
---@param to string address in angle brackets
function Connection:rcpt(to)
  self.try(self.tp:command("RCPT", "TO:" .. to))
  return self.try(self.tp:check("2.."))
end

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
function Connection:data(source, step)
  self.try(self.tp:command("DATA"))
  self.try(self.tp:check("3.."))
  self.try(self.tp:source(source, step))
  self.try(self.tp:send("\r\n.\r\n"))
  return self.try(self.tp:check("2.."))
end

--- Says goodbye.
---
--- `s:greet()`
--- `s:quit()  --> 250, "250 ok"`
---
--- Errors: raises the reason, which `socket.protect` turns into `nil, "reason"`: what the server
--- replied, or those of the network.
---@async
function Connection:quit()
  self.try(self.tp:command("QUIT"))
  return self.try(self.tp:check("2.."))
end

--- Closes the connection.
---
--- `s:close()  --> 1`
---@return integer one
function Connection:close() return self.tp:close() end

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
function Connection:login(user, password)
  self.try(self.tp:command("AUTH", "LOGIN"))
  self.try(self.tp:check("3.."))
  self.try(self.tp:send((mime.b64(user) or "") .. "\r\n"))
  self.try(self.tp:check("3.."))
  self.try(self.tp:send((mime.b64(password) or "") .. "\r\n"))
  return self.try(self.tp:check("2.."))
end

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
function Connection:plain(user, password)
  local secret = mime.b64("\0" .. user .. "\0" .. password)
  self.try(self.tp:command("AUTH", "PLAIN " .. secret))
  return self.try(self.tp:check("2.."))
end

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
function Connection:auth(user, password, extensions)
  if not user or not password then return 1 end
  local ways = extensions:upper():match("AUTH[ =]([^\n]*)") or ""
  if ways:find("LOGIN", 1, true) then return self:login(user, password) end
  if ways:find("PLAIN", 1, true) then return self:plain(user, password) end
  self.try(nil, "authentication not supported")
end

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
function Connection:send(mail)
  self:mail(mail.from)
  if type(mail.rcpt) == "table" then
    for _, receiver in ipairs(mail.rcpt) do self:rcpt(receiver) end
  else
    self:rcpt(mail.rcpt)
  end
  return self:data(ltn12.source.chain(mail.source, mime.stuff()), mail.step)
end

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
function M.open(server, port, create)
  local connection =
    socket.try(tp.connect(server or M.SERVER, port or M.PORT, M.TIMEOUT, create))
  local self = setmetatable({ tp = connection }, Connection)
  self.try = socket.newtry(function() self:close() end)
  return self
end

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
M.send = socket.protect(function(mail)
  local s = M.open(mail.server, mail.port, mail.create)
  local extensions = s:greet(mail.domain)
  if mail.starttls then
    local parameters = { mode = "client", server_name = mail.server or M.SERVER }
    for name, value in pairs(mail.starttls == true and {} or mail.starttls) do
      parameters[name] = value
    end
    s:starttls(parameters)
    extensions = s:hello(mail.domain)
  end
  s:auth(mail.user, mail.password, extensions)
  s:send(mail)
  s:quit()
  return s:close()
end)

---@class socket.smtp.Message
---@field headers table<string, string>?
---@field body string|ltn12.Source|socket.smtp.Multipart|nil

---@class socket.smtp.Multipart
---@field preamble string? before the parts
---@field epilogue string? after the parts
---@field [integer] socket.smtp.Message

--- Makes the source of a message. `body` is a string, a source, or a list of messages, which are
--- its parts. The source may be used once.
---
--- `local source = smtp.message{ headers = { subject = "hello" }, body = "Hello!\r\n" }`
--- `source():match("Subject: hello")  --> "Subject: hello"`
---@param message socket.smtp.Message
---@return ltn12.Source
function M.message(message)
  return require("socket.smtp_message").source(message, M.ZONE, canonic)
end

return M
