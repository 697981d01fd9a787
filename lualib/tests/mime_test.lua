-- Tests of mime: encodings whole and in pieces, line ends, line lengths, dots.
local mime = require "mime"
local ltn12 = require "ltn12"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local bytes = {}
for byte = 0, 255 do bytes[#bytes + 1] = string.char(byte) end
local all_bytes = table.concat(bytes)

-- Sends a text through filters in pieces of random length.
local function through(text, ...)
  local at = 1
  local function pieces()
    if at > #text then return nil end
    local piece = text:sub(at, at + math.random(0, 5))
    at = at + #piece
    return piece
  end
  local sink, chunks = ltn12.sink.table()
  assert(ltn12.pump.all(ltn12.source.chain(pieces, ...), sink))
  return table.concat(chunks)
end

describe("base64", function()
  it("encodes the examples of RFC 4648", function()
    for text, wanted in pairs {
      f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
      foobar = "Zm9vYmFy",
    } do
      expect({ mime.b64(text) }).same { wanted }
      expect({ mime.unb64(wanted) }).same { text }
    end
  end)

  it("leaves over what does not make a group", function()
    expect({ mime.b64("hello", "") }).same { "aGVs", "lo" }
    expect({ mime.b64("lo", "!") }).same { "bG8h", "" }
    expect({ mime.b64("l", "o") }).same { "", "lo" }
    expect({ mime.unb64("", "aGVsbG") }).same { "hel", "bG" }
    expect({ mime.unb64("bG", "8=") }).same { "lo", "" }
  end)

  it("ends with nil", function()
    expect({ mime.b64(nil, "x") }).same {}
    expect(select("#", mime.b64(nil))).equal(2)
    expect(select("#", mime.b64("", nil))).equal(2)
    expect({ mime.b64("") }).same {}
    expect({ mime.unb64("a") }).same {}
    expect({ mime.unb64(nil) }).same {}
  end)

  it("keeps zero bytes", function()
    expect(mime.b64("\0")).equal("AA==")
    expect(mime.unb64("AAAA")).equal("\0\0\0")
  end)

  it("reads what is broken, padded in the middle, or strewn with other signs", function()
    expect(mime.unb64("aGV\r\nsb G8=")).equal("hello")
    expect(mime.unb64("Zg==Zm8=Zm9v")).equal("ffofoo")
    expect(mime.unb64("c=a/")).equal("p\6\191")
    expect(mime.unb64("====Zg==")).equal("\0f")
    expect(mime.unb64("-Z~m.9_v!")).equal("foo")
  end)

  it("comes back in any pieces", function()
    for _ = 1, 20 do
      local text = all_bytes:sub(math.random(1, 100), math.random(101, 256))
      expect(through(text, mime.encode("base64"))).equal((mime.b64(text)))
      expect(through(text, mime.encode("base64"), mime.wrap("base64"), mime.decode("base64")))
        .equal(text)
    end
  end)
end)

describe("quoted-printable", function()
  it("quotes what is not plain", function()
    expect({ mime.qp("a=b\1\233~") }).same { "a=3Db=01=E9~" }
    expect(mime.qp("a\nb")).equal("a=0Ab")
    expect(mime.qp("a\rb")).equal("a=0Db")
    expect(mime.qp("!<>\"#")).equal("!<>\"#")
  end)

  it("keeps line ends, or gives them another mark", function()
    expect({ mime.qp("a\r\nb") }).same { "a\r\nb" }
    expect({ mime.qp("a\r\nb", nil, "=0D=0A") }).same { "a=0D=0Ab" }
    expect(mime.encode("quoted-printable", "binary")("a\r\nb\r\n")).equal("a=0D=0Ab=0D=0A")
    expect(mime.encode("quoted-printable")("a\r\nb\r\n")).equal("a\r\nb\r\n")
  end)

  it("quotes blanks at the end of a line", function()
    expect(mime.qp("a \r\nb\t\r\n")).equal("a=20\r\nb=09\r\n")
    expect(mime.qp("a b")).equal("a=20b=\r\n")
    expect(mime.qp("a ")).equal("a=20=\r\n")
    expect(mime.qp("a  bc")).equal("a  bc")
  end)

  it("leaves over what depends on what follows", function()
    expect({ mime.qp("", "a ") }).same { "a", " " }
    expect({ mime.qp(" ", "\r") }).same { "", " \r" }
    expect({ mime.qp(" \r", "\n") }).same { "=20\r\n", "" }
    expect({ mime.qp("\r", "x") }).same { "=0Dx", "" }
    expect({ mime.qp("", "x y") }).same { "x", " y" }
    expect({ mime.qp(nil, "x") }).same {}
    expect({ mime.qp("") }).same {}
  end)

  it("is undone", function()
    expect({ mime.unqp("ma=E7=e3=\r\n!") }).same { "ma\231\227!" }
    expect({ mime.unqp("a=ZZ=3") }).same { "a=ZZ" }
    expect({ mime.unqp("", "a=4") }).same { "a", "=4" }
    expect({ mime.unqp("=4", "1=") }).same { "A", "=" }
    expect({ mime.unqp("a\r\nb\233\1c") }).same { "a\r\nbc" }
    expect({ mime.unqp("a\rb") }).same { "ab" }
    expect({ mime.unqp("\r", "\n") }).same { "\r\n", "" }
    expect({ mime.unqp(nil) }).same {}
  end)

  it("comes back in any pieces", function()
    for _ = 1, 20 do
      local text = all_bytes:sub(math.random(1, 100), math.random(101, 256)) .. " \t\r\n \r\n a"
      local encoded = through(text, mime.encode("quoted-printable"), mime.wrap("quoted-printable"))
      for line in encoded:gmatch("([^\r\n]*)\r\n") do
        expect(#line).at_most(76)
        expect(line).never.matches("[ \t]$")
      end
      expect(through(encoded, mime.decode("quoted-printable"))).equal(text)
      encoded = through(text, mime.encode("quoted-printable", "binary"))
      expect(encoded).never.contains("\r\n\r\n")
      expect(through(encoded, mime.decode("quoted-printable"))).equal(text)
    end
  end)
end)

describe("lines", function()
  it("are broken at a length", function()
    expect({ mime.wrp(3, "abcdefg", 3) }).same { "abc\r\ndef\r\ng", 2 }
    expect({ mime.wrp(1, "abc", 3) }).same { "a\r\nbc", 1 }
    expect({ mime.wrp(3, "a\nb\r\nc", 3) }).same { "a\r\nb\r\nc", 2 }
    expect({ mime.wrp(2, nil, 3) }).same { "\r\n", 3 }
    expect({ mime.wrp(3, nil, 3) }).same { nil, 3 }
    expect({ mime.wrp(76, "") }).same { "", 76 }
    expect(through(("x"):rep(10), mime.wrap("text", 4))).equal("xxxx\r\nxxxx\r\nxx\r\n")
    expect(through(("x"):rep(80), mime.wrap())).equal(("x"):rep(76) .. "\r\nxxxx\r\n")
  end)

  it("are broken softly, never within an escape", function()
    expect({ mime.qpwrp(4, "abcdef", 4) }).same { "abc=\r\ndef", 1 }
    expect({ mime.qpwrp(5, "ab=E7c", 5) }).same { "ab=\r\n=E7c", 1 }
    expect({ mime.qpwrp(3, nil, 4) }).same { "=\r\n", 4 }
    expect({ mime.qpwrp(4, nil, 4) }).same { nil, 4 }
    expect({ mime.qpwrp(4, "a\r\nb", 4) }).same { "a\r\nb", 3 }
  end)

  it("end as they should", function()
    expect({ mime.eol(0, "a\r\nb\nc\rd\n\re") }).same { "a\r\nb\r\nc\r\nd\r\ne", 0 }
    expect({ mime.eol(0, "a\n\n\nb", "|") }).same { "a|||b", 0 }
    expect({ mime.eol(0, "a\r", "|") }).same { "a|", 13 }
    expect({ mime.eol(13, "\nb", "|") }).same { "b", 0 }
    expect({ mime.eol(13, "\rb", "|") }).same { "|b", 0 }
    expect({ mime.eol(0, nil) }).same { nil, 0 }
    expect(through("a\r\nb\rc\n", mime.normalize("\n"))).equal("a\nb\nc\n")
    expect(through("a\nb", mime.normalize())).equal("a\r\nb")
  end)
end)

describe("dots", function()
  it("are doubled where a line begins", function()
    expect({ mime.dot(2, ".a\r\n.b.c\r\n..") }).same { "..a\r\n..b.c\r\n...", 0 }
    expect({ mime.dot(0, ".a") }).same { ".a", 0 }
    expect({ mime.dot(2, "a\r") }).same { "a\r", 1 }
    expect({ mime.dot(1, "\n") }).same { "\n", 2 }
    expect({ mime.dot(2, nil) }).same { nil, 2 }
    expect({ mime.dot(2, "\n.") }).same { "\n.", 0 }
    expect(through(".\r\n.\r\nx.\r\n", mime.stuff())).equal("..\r\n..\r\nx.\r\n")
  end)
end)

describe("module", function()
  it("has a native part, names, and refuses others", function()
    expect(require("mime.core").b64).equal(mime.b64)
    expect(mime._VERSION).matches("^MIME ")
    expect(function() mime.encode("rot13") end).errors("unknown key %(rot13%)")
    expect(function() mime.decode() end).errors("unknown key %(default%)")
    expect(function() mime.b64({}) end).errors("string expected")
    local long, ends = ("x"):rep(100000), ("\n"):rep(1000)
    expect(function() mime.eol(0, ends, long) end).errors("marker too long")
    expect(function() mime.qp("", ends, long) end).errors("marker too long")
    expect(#mime.eol(0, ends, "12345")).equal(5000)
    expect(function() mime.wrp() end).errors("number expected")
  end)
end)

test.run()
