--- Sends mail by SMTP: messages of headers, texts and attachments, made on the fly.
---
--- ```lua
--- smtp.send{
---   from = "<me@localhost>", rcpt = "<you@localhost>", server = "localhost",
---   source = smtp.message{ headers = { subject = "hello" }, body = "Hello!\r\n" },
--- }  --> 1
--- ```
local socket = require "socket"
local ltn12 = require "ltn12"
local mime = require "mime"
local tp = require "socket.tp"
local canonic = require("socket.headers").canonic

---@class socket.smtp
local M = {
  --- Seconds that one step may take.
  TIMEOUT = 60,
  SERVER = "localhost",
  PORT = 25,
  --- The name the client greets with.
  DOMAIN = "localhost",
  --- Offset of the zone that dates are given in.
  ZONE = "-0000",
}

---@class socket.smtp.Connection
---@field tp socket.tp.Connection
---@field try fun(...): ...
local Connection = {}
Connection.__index = Connection

--- Greets the server and returns what it offers.
---@async
---@param domain string?
---@return string extensions
function Connection:greet(domain)
  self.try(self.tp:check("2.."))
  return self:hello(domain)
end

--- Says hello, at first and after the connection was encrypted.
---@async
---@param domain string?
---@return string extensions
function Connection:hello(domain)
  self.try(self.tp:command("EHLO", domain or M.DOMAIN))
  return (socket.skip(1, self.try(self.tp:check("2.."))))
end

--- Encrypts the connection.
---@async
---@param parameters ssl.Parameters
function Connection:starttls(parameters)
  self.try(self.tp:command("STARTTLS"))
  self.try(self.tp:check("2.."))
  return self.try(self.tp:secure(parameters))
end

--- Begins a mail.
---@async
---@param from string address in angle brackets
function Connection:mail(from)
  self.try(self.tp:command("MAIL", "FROM:" .. from))
  return self.try(self.tp:check("2.."))
end

--- Adds a receiver.
---@async
---@param to string address in angle brackets
function Connection:rcpt(to)
  self.try(self.tp:command("RCPT", "TO:" .. to))
  return self.try(self.tp:check("2.."))
end

--- Sends the message, which has to be stuffed (see `mime.stuff`).
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
---@async
function Connection:quit()
  self.try(self.tp:command("QUIT"))
  return self.try(self.tp:check("2.."))
end

--- Closes the connection.
---@return integer one
function Connection:close() return self.tp:close() end

--- Logs in by AUTH LOGIN.
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
---@async
---@param user string
---@param password string
function Connection:plain(user, password)
  local secret = mime.b64("\0" .. user .. "\0" .. password)
  self.try(self.tp:command("AUTH", "PLAIN " .. secret))
  return self.try(self.tp:check("2.."))
end

--- Logs in by a way the server offers, if user and password are given.
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
--- `local s = smtp.open("localhost", 25)  s:greet()`
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
--- `smtp.send{from = "<me@localhost>", rcpt = "<you@localhost>", source = source}  --> 1`
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
--- `smtp.message{headers = {subject = "hello"}, body = "Hello!\r\n"}`
---@param message socket.smtp.Message
---@return ltn12.Source
function M.message(message)
  return require("socket.smtp_message").source(message, M.ZONE, canonic)
end

return M
