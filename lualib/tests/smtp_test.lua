-- Tests of socket.smtp and socket.tp against a server within the program.
require "splay.base"
local smtp = require "socket.smtp"
local tp = require "socket.tp"
local ltn12 = require "ltn12"
local mime = require "mime"
local server = require "local_server"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

-- A mail server: `session` gets the commands and the message, unstuffed. `answers` replaces
-- replies by command.
local function serve(session, answers)
  answers = answers or {}
  local function reply(c, name, usual) c:send((answers[name] or usual) .. "\r\n") end
  return server.start(function(c)
    session.commands = {}
    reply(c, "", "220 ready")
    while true do
      local line = c:receive()
      if not line then return end
      session.commands[#session.commands + 1] = line
      local name = line:match("^(%a+)")
      if name == "EHLO" then
        reply(c, name, "250-here\r\n250-SIZE 1000\r\n250 AUTH PLAIN LOGIN")
      elseif name == "DATA" then
        reply(c, name, "354 go on")
        local lines = {}
        while true do
          local text = c:receive()
          if not text then return end
          if text == "." then break end
          lines[#lines + 1] = text:gsub("^%.", "") .. "\r\n"
        end
        session.message = table.concat(lines)
        reply(c, "end", "250 taken")
      elseif name == "AUTH" and line == "AUTH LOGIN" then
        c:send("334 VXNlcm5hbWU6\r\n")
        local user = mime.unb64(c:receive())
        c:send("334 UGFzc3dvcmQ6\r\n")
        session.login = { user, mime.unb64(c:receive()) }
        reply(c, name, "235 welcome")
      elseif name == "AUTH" then
        session.login = { mime.unb64(line:match("^AUTH PLAIN (.*)$")) }
        reply(c, name, "235 welcome")
      elseif name == "QUIT" then
        reply(c, name, "221 bye")
        return
      else
        reply(c, name, "250 fine")
      end
    end
  end)
end

-- The whole text of a source.
local function text_of(source)
  local sink, parts = ltn12.sink.table()
  assert(ltn12.pump.all(source, sink))
  return table.concat(parts)
end

local function mail_to(port, more)
  local mail = {
    from = "<me@here>", rcpt = "<you@there>", server = "127.0.0.1", port = port,
    source = ltn12.source.string("Subject: x\r\n\r\nhello\r\n"),
  }
  for name, value in pairs(more or {}) do mail[name] = value end
  return mail
end

describe("send", function()
  it("delivers a message", function()
    local session = {}
    local port = serve(session)
    expect({ smtp.send(mail_to(port)) }).same { 1 }
    expect(session.commands)
      .same { "EHLO localhost", "MAIL FROM:<me@here>", "RCPT TO:<you@there>", "DATA", "QUIT" }
    expect(session.message).equal("Subject: x\r\n\r\nhello\r\n\r\n")
  end)

  it("stuffs dots and names all receivers", function()
    local session = {}
    local port = serve(session)
    local text = ".\r\n..\r\n.x\r\na.b"
    expect(smtp.send(mail_to(port, {
      rcpt = { "<a@there>", "<b@there>" }, domain = "me.here", source = ltn12.source.string(text),
    }))).equal(1)
    expect(session.message).equal(text .. "\r\n")
    expect(session.commands[1]).equal("EHLO me.here")
    expect(session.commands[3]).equal("RCPT TO:<a@there>")
    expect(session.commands[4]).equal("RCPT TO:<b@there>")
  end)

  it("logs in by what the server offers", function()
    local session = {}
    local port = serve(session)
    local who = { user = "me", password = "secret" }
    expect(smtp.send(mail_to(port, who))).equal(1)
    expect(session.login).same { "me", "secret" }
    port = serve(session, { EHLO = "250-here\r\n250 AUTH PLAIN" })
    expect(smtp.send(mail_to(port, who))).equal(1)
    expect(session.login).same { "\0me\0secret" }
    port = serve(session, { EHLO = "250 here" })
    expect({ smtp.send(mail_to(port, who)) }).same { nil, "authentication not supported" }
    port = serve(session, { AUTH = "535 no" })
    expect({ smtp.send(mail_to(port, who)) }).same { nil, "535 no" }
  end)

  it("tells what the server replied", function()
    for name, reply in pairs {
      [""] = "554 go away", EHLO = "502 what", MAIL = "550 not you", RCPT = "550 not him",
      DATA = "503 no", ["end"] = "552-too\r\n552 much",
    } do
      local port = serve({}, { [name] = reply })
      expect({ smtp.send(mail_to(port)) }).same { nil, (reply:gsub("\r", "")) }
    end
  end)

  it("fails with its source, the network, and commands that are none", function()
    local port = serve {}
    expect({ smtp.send(mail_to(port, { source = ltn12.source.error("gone") })) })
      .same { nil, "gone" }
    expect({ smtp.send(mail_to(port, { from = "<a>\r\nRCPT TO:<b>" })) })
      .same { nil, "invalid command" }
    local closed = server.start(function() end)
    expect({ smtp.send(mail_to(closed)) }).same { nil, "closed" }
    smtp.TIMEOUT = 0.2
    local silent = server.start(function() socket.sleep(5) end)
    expect({ smtp.send(mail_to(silent)) }).same { nil, "timeout" }
    smtp.TIMEOUT = 60
  end)

  it("encrypts if it is to", function()
    local identity, ssl = require "tls_identity", require "ssl"
    local heard
    local port = server.start(function(c)
      c:send("220 ready\r\n")
      c:receive()
      c:send("250 STARTTLS\r\n")
      c:receive()
      c:send("220 go on\r\n")
      c = assert(ssl.wrap(c, {
        mode = "server", certificate_pem = identity.certificate, key_pem = identity.key,
      }))
      if not c:dohandshake() then return end
      heard = {}
      repeat
        heard[#heard + 1] = c:receive()
        c:send((heard[#heard] == "DATA" and "354" or "250") .. " fine\r\n")
        if heard[#heard] == "DATA" then
          repeat until c:receive() == "."
          c:send("250 fine\r\n")
        end
      until heard[#heard] == "QUIT"
      c:close()
    end)
    local mail = mail_to(port, {
      starttls = { ca = identity.authority, server_name = "localhost" },
      source = smtp.message { body = "secret" },
    })
    expect({ smtp.send(mail) }).same { 1 }
    expect(heard)
      .same { "EHLO localhost", "MAIL FROM:<me@here>", "RCPT TO:<you@there>", "DATA", "QUIT" }
    heard = nil
    mail.starttls = true
    expect({ smtp.send(mail) }).same { nil, "certificate verify failed (unknown issuer)" }
    expect(heard).is_nil()
  end)
end)

describe("message", function()
  it("has the headers that were given, and a few more", function()
    local text = text_of(smtp.message {
      headers = { SUBJECT = "hello", to = "you", date = "now", ["content-id"] = "<1>" },
      body = "Hello.\r\n",
    })
    expect(text).equal("Content-ID: <1>\r\nContent-Type: text/plain; charset=\"iso-8859-1\"\r\n"
      .. "Date: now\r\nMIME-Version: 1.0\r\nSubject: hello\r\nTo: you\r\n"
      .. "X-Mailer: " .. socket._VERSION .. "\r\n\r\nHello.\r\n")
  end)

  it("has a date", function()
    local text = text_of(smtp.message { body = "" })
    expect(text).matches("\r\nDate: %a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d %-0000\r\n")
  end)

  it("has a body of any kind", function()
    local waited = false
    local function source()
      if waited then return nil end
      socket.sleep(0.01)
      waited = true
      return "from a source"
    end
    expect(text_of(smtp.message { body = source })).matches("\r\n\r\nfrom a source$")
    expect(text_of(smtp.message { headers = {} })).matches("\r\n\r\n$")
    local failing = smtp.message { body = ltn12.source.error("gone") }
    expect(failing()).matches("^Content%-Type")
    expect({ failing() }).same { nil, "gone" }
    expect(failing()).is_nil()
  end)

  it("has parts", function()
    local text = text_of(smtp.message {
      headers = { subject = "parts" },
      body = {
        preamble = "before", epilogue = "after",
        { body = "first" },
        {
          headers = { ["Content-Type"] = "image/png", ["content-transfer-encoding"] = "BASE64" },
          body = ltn12.source.chain(ltn12.source.string("\1\2\3\4"), mime.encode("base64")),
        },
        { headers = { ["content-type"] = "multipart/alternative" }, body = { { body = "inner" } } },
      },
    })
    local boundary = text:match('Content%-Type: multipart/mixed; boundary="(.-)"')
    local inner = text:match('Content%-Type: multipart/alternative; boundary="(.-)"')
    expect(boundary).never.equal(inner)
    local _, parts = text:gsub("\r\n%-%-" .. boundary:gsub("%p", "%%%0") .. "\r\n", "")
    expect(parts).equal(3)
    expect(text).contains("\r\n\r\nbefore\r\n\r\n--" .. boundary)
    expect(text).contains("\r\n--" .. boundary .. "--\r\n\r\nafter\r\n")
    expect(text).contains('charset="iso-8859-1"\r\n\r\nfirst\r\n--')
    expect(text).contains("Content-Type: image/png\r\n\r\nAQIDBA==\r\n--")
    expect(text).contains("\r\n--" .. inner .. "--\r\n")
  end)
end)

describe("tp", function()
  it("checks codes in every way", function()
    local port = server.start(function(c)
      for _ = 1, 3 do c:send("220-one\r\n220-two\r\n550 not yet\r\n220 three\r\n") end
      c:send("500 no\r\nnonsense\r\n")
      c:receive("*a")
    end)
    local c = assert(tp.connect("127.0.0.1", port))
    local text = "220-one\n220-two\n550 not yet\n220 three"
    expect({ c:check("2..") }).same { 220, text }
    expect({ c:check { "1..", 220 } }).same { 220, text }
    expect({ c:check(function(code, reply) return reply, code end) }).same { text, 220 }
    expect({ c:check("2..") }).same { nil, "500 no" }
    expect({ c:check("2..") }).same { nil, "invalid server reply" }
    expect(c:close()).equal(1)
  end)

  it("sends and receives", function()
    local heard
    local port = server.start(function(c)
      heard = c:receive("*a")
    end)
    local c = assert(tp.connect("127.0.0.1", port, 5))
    expect(c:command("noop")).equal(6)
    expect(c:command("stat", 5)).equal(8)
    expect({ c:command("x", "a\nb") }).same { nil, "invalid command" }
    expect(c:send("raw")).equal(3)
    expect(c:source(ltn12.source.string("source"))).equal(1)
    expect(c:getcontrol():gettimeout()).equal(5)
    c:getcontrol():shutdown("send")
    expect({ c:receive() }).same { nil, "closed", "" }
    expect(heard).equal("NOOP\r\nSTAT 5\r\nrawsource")
    local sink, parts = ltn12.sink.table()
    local greeting = server.start(function(other) other:send("hi\r\n") end)
    c = assert(tp.connect("127.0.0.1", greeting))
    expect(c:sink(sink)).equal(1)
    expect(parts).same { "hi" }
  end)
end)

test.run()
