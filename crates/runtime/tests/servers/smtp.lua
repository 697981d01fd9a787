-- Mails to aiosmtpd; `given` is put before this file.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local smtp = require "socket.smtp"
local ltn12 = require "ltn12"
local mime = require "mime"

local function mail(more)
  local table = {
    from = "<me@localhost>", rcpt = { "<you@localhost>", "<them@localhost>" },
    server = "127.0.0.1", port = given.port,
  }
  for name, value in pairs(more) do table[name] = value end
  return table
end

describe("aiosmtpd", function()
  it("takes a text with dots", function()
    expect({ smtp.send(mail {
      source = smtp.message {
        headers = { subject = "dots" }, body = ".\r\n..two\r\n.\r\n\r\nend of dots\r\n",
      },
    }) }).same { 1 }
  end)

  it("takes parts from one who has logged in", function()
    expect({ smtp.send(mail {
      user = "me", password = "secret",
      source = smtp.message {
        headers = { subject = "parts" },
        body = {
          { headers = { ["content-transfer-encoding"] = "quoted-printable" },
            body = ltn12.source.chain(ltn12.source.string("caf\233 =\r\n"),
              mime.encode("quoted-printable"), mime.wrap("quoted-printable")) },
          { headers = { ["content-type"] = "application/octet-stream",
              ["content-transfer-encoding"] = "base64" },
            body = ltn12.source.chain(ltn12.source.string(("\0\1\2"):rep(100)),
              mime.encode("base64"), mime.wrap("base64")) },
        },
      },
    }) }).same { 1 }
  end)

  it("takes secrets over TLS", function()
    expect({ smtp.send(mail {
      user = "me", password = "secret",
      starttls = { cafile = given.folder .. "/ca.pem", server_name = "localhost" },
      source = smtp.message { headers = { subject = "sealed" }, body = "secret\r\n" },
    }) }).same { 1 }
    expect({ smtp.send(mail {
      starttls = true, source = smtp.message { headers = { subject = "never" }, body = "" },
    }) }).same { nil, "certificate verify failed (unknown issuer)" }
  end)

  it("refuses who has the wrong password, and a mail to nobody", function()
    local _, reason = smtp.send(mail {
      user = "me", password = "wrong", source = ltn12.source.string("never"),
    })
    expect(reason).matches("^535 ")
    _, reason = smtp.send(mail { rcpt = {}, source = ltn12.source.string("never") })
    expect(reason).matches("^503 ")
  end)
end)

test.run()
