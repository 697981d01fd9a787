local test = require "splay.test"
local crypto = require "crypto"
local describe, it, expect = test.describe, test.it, test.expect

-- Digests of "abc" from the standards that define them.
local ABC = {
  md5 = "900150983cd24fb0d6963f7d28e17f72",
  sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d",
  sha224 = "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
  sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  sha384 = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
    .. "8086072ba1e7cc2358baeca134c825a7",
  sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    .. "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
  ripemd160 = "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
}

describe("crypto.evp", function()
  it("knows every digest", function()
    for kind, digest in pairs(ABC) do
      expect(crypto.evp.digest(kind, "abc")).equal(digest)
      expect(crypto.evp.digest(kind:upper(), "abc")).equal(digest)
      expect(crypto.evp.new(kind):digest("abc")).equal(digest)
    end
  end)

  it("gives raw bytes", function()
    local raw = crypto.evp.digest("sha1", "abc", true)
    expect(#raw).equal(20)
    expect((raw:gsub(".", function(c) return ("%02x"):format(c:byte()) end))).equal(ABC.sha1)
    expect(crypto.evp.new("md5"):digest("abc", true)).equal(crypto.evp.digest("md5", "abc", true))
  end)

  it("goes on after a digest", function()
    local d = crypto.evp.new("sha1")
    expect(d:digest("a")).equal(crypto.evp.digest("sha1", "a"))
    expect(d:digest("bc")).equal(ABC.sha1)
    expect(d:digest()).equal(ABC.sha1)
    expect(d:update("d"):update("e"):digest()).equal(crypto.evp.digest("sha1", "abcde"))
  end)

  it("clones and resets", function()
    local d = crypto.evp.new("sha512")
    d:update("ab")
    local copy = d:clone()
    d:update("x")
    expect(copy:digest("c")).equal(ABC.sha512)
    d:reset()
    expect(d:digest("abc")).equal(ABC.sha512)
    expect(tostring(d)).matches("^crypto.evp: ")
  end)

  it("takes numbers for strings, and refuses the rest", function()
    expect(crypto.evp.digest("md5", 42)).equal(crypto.evp.digest("md5", "42"))
    expect(function() crypto.evp.new("rot13") end).errors("invalid digest type")
    expect(function() crypto.evp.digest("md5") end).errors("string expected")
    local update = crypto.evp.new("md5").update
    expect(function() update(crypto.hmac.new("md5", "k"), "x") end).errors("crypto.evp expected")
    expect(function() update(io.stdout, "x") end).errors("crypto.evp expected")
    expect(function() update({}, "x") end).errors("crypto.evp expected")
  end)
end)

describe("crypto.hmac", function()
  it("agrees with the standards", function()
    local text, key = "what do ya want for nothing?", "Jefe"
    expect(crypto.hmac.digest("md5", text, key)).equal("750c783e6ab0b503eaa86e310a5db738")
    expect(crypto.hmac.digest("sha1", text, key)).equal("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
    expect(crypto.hmac.digest("sha256", text, key))
      .equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    expect(#crypto.hmac.digest("sha1", text, key, true)).equal(20)
  end)

  it("has objects", function()
    local h = crypto.hmac.new("sha1", "Jefe")
    h:update("what do ya want ")
    local copy = h:clone()
    expect(h:digest("for nothing?")).equal("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
    expect(copy:digest("for nothing?")).equal(h:digest())
    h:reset()
    expect(h:digest()).equal(crypto.hmac.digest("sha1", "", "Jefe"))
    expect(function() crypto.hmac.new("rot13", "key") end).errors("invalid digest type")
  end)
end)

describe("crypto.rand", function()
  it("gives bytes", function()
    expect(#crypto.rand.bytes(32)).equal(32)
    expect(crypto.rand.bytes(32)).never.equal(crypto.rand.bytes(32))
    expect(crypto.rand.pseudo_bytes(0)).equal("")
    expect(function() crypto.rand.bytes(-1) end).errors("out of range")
    expect(function() crypto.rand.bytes(1e12) end).errors("out of range")
    crypto.rand.add("entropy")
    crypto.rand.seed("entropy")
    crypto.rand.cleanup()
    expect(crypto.rand.status()).is_true()
  end)
end)

describe("crypto", function()
  it("has its parts as modules", function()
    expect(require "crypto.evp").equal(crypto.evp)
    expect(require "crypto.hmac").equal(crypto.hmac)
    expect(require "crypto.rand").equal(crypto.rand)
    expect(require("splay.md5_core").hex("abc")).equal(ABC.md5)
  end)
end)

describe("base64", function()
  local base64 = require "base64"

  it("encodes and decodes", function()
    local samples = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", ["\0\255"] = "AP8=" }
    for text, encoded in pairs(samples) do
      expect(base64.encode(text)).equal(encoded)
      expect(base64.decode(encoded)).equal(text)
    end
    expect(base64.decode("Zm9v\r\nYmFy")).equal("foobar")
    expect(base64.decode("Zg")).equal("f")
  end)

  it("has no value for garbage", function()
    expect(select("#", base64.decode("!!!!"))).equal(0)
    expect(select("#", base64.decode("Z"))).equal(0)
  end)
end)

test.run()
