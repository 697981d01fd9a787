-- Tests of socket.url: parts, relative URLs, escapes, paths.
local url = require "socket.url"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

describe("parse", function()
  it("finds every part", function()
    expect(url.parse("http://me:secret@host:80/a/b;p?q=1#f")).same {
      scheme = "http",
      authority = "me:secret@host:80", userinfo = "me:secret", user = "me", password = "secret",
      host = "host", port = "80", path = "/a/b", params = "p", query = "q=1", fragment = "f",
    }
  end)

  it("leaves out what is not there", function()
    expect(url.parse("/a?q")).same { path = "/a", query = "q" }
    expect(url.parse("mailto:me")).same { scheme = "mailto", path = "me" }
    expect(url.parse("//host")).same { authority = "host", host = "host" }
    expect(url.parse("#f")).same { fragment = "f" }
    expect(url.parse("http:///a").host).is_nil()
    expect(url.parse("http://host:/a").port).is_nil()
  end)

  it("ends the authority where a path, a query or a fragment begins", function()
    expect(url.parse("http://host?a@b").host).equal("host")
    expect(url.parse("http://host#a/b").host).equal("host")
    expect(url.parse("http://host?q/r").query).equal("q/r")
    expect(url.parse("http://trusted@evil@host/").host).equal("host")
  end)

  it("understands IPv6 addresses", function()
    local parsed = url.parse("http://[::1]:8080/")
    expect(parsed.host).equal("::1")
    expect(parsed.port).equal("8080")
    expect(url.parse("http://[fe80::1]/").host).equal("fe80::1")
    expect(url.parse("http://[fe80::1]/").port).is_nil()
  end)

  it("takes what is missing from the default", function()
    local parsed = url.parse("//host", { scheme = "http", path = "/", port = 80 })
    expect({ parsed.scheme, parsed.host, parsed.path, parsed.port })
      .same { "http", "host", "/", 80 }
  end)

  it("refuses the empty string", function()
    expect({ url.parse("") }).same { nil, "invalid url" }
  end)
end)

describe("build", function()
  it("puts together what parse took apart", function()
    for _, text in ipairs {
      "http://me:secret@host:80/a/b;p?q=1#f", "//host", "/a/b", "?q", "#f", "a:b",
      "http://[::1]:8080/a%20b", "ftp://user@host/;type=a", "http://host?q", "x",
    } do
      expect(url.build(url.parse(text))).equal(text)
    end
  end)

  it("makes the authority of its parts", function()
    expect(url.build { scheme = "http", authority = "other", host = "::1", port = 80, user = "me" })
      .equal("http://me@[::1]:80")
    expect(url.build { scheme = "http", authority = "host:1", path = "/" }).equal("http://host:1/")
  end)
end)

describe("absolute", function()
  -- RFC 3986, 5.4, but for parameters, which are a part of their own here.
  local cases = {
    ["g:h"] = "g:h", ["g"] = "http://a/b/c/g", ["./g"] = "http://a/b/c/g",
    ["g/"] = "http://a/b/c/g/", ["/g"] = "http://a/g", ["//g"] = "http://g",
    ["?y"] = "http://a/b/c/d;p?y", ["g?y"] = "http://a/b/c/g?y", ["#s"] = "http://a/b/c/d;p?q#s",
    ["g#s"] = "http://a/b/c/g#s", ["g?y#s"] = "http://a/b/c/g?y#s", [";x"] = "http://a/b/c/d;x",
    ["g;x"] = "http://a/b/c/g;x", ["g;x?y#s"] = "http://a/b/c/g;x?y#s",
    [""] = "http://a/b/c/d;p?q#f",
    ["."] = "http://a/b/c/", ["./"] = "http://a/b/c/", [".."] = "http://a/b/",
    ["../"] = "http://a/b/", ["../g"] = "http://a/b/g", ["../.."] = "http://a/",
    ["../../"] = "http://a/", ["../../g"] = "http://a/g", ["../../../g"] = "http://a/g",
    ["/./g"] = "http://a/g", ["/../g"] = "http://a/g", ["g."] = "http://a/b/c/g.",
    [".g"] = "http://a/b/c/.g", ["g.."] = "http://a/b/c/g..", ["..g"] = "http://a/b/c/..g",
    ["./../g"] = "http://a/b/g", ["./g/."] = "http://a/b/c/g/", ["g/./h"] = "http://a/b/c/g/h",
    ["g/../h"] = "http://a/b/c/h", ["g?y/./x"] = "http://a/b/c/g?y/./x",
    ["g#s/../x"] = "http://a/b/c/g#s/../x", ["g//h"] = "http://a/b/c/g//h",
  }

  it("resolves the examples of RFC 3986", function()
    for relative, wanted in pairs(cases) do
      expect(relative .. " -> " .. url.absolute("http://a/b/c/d;p?q#f", relative))
        .equal(relative .. " -> " .. wanted)
    end
  end)

  it("knows bases without a path, tables and paths alone", function()
    expect(url.absolute("http://a", "b")).equal("http://a/b")
    expect(url.absolute({ scheme = "http", host = "a", port = 1, path = "/b/c" }, "d"))
      .equal("http://a:1/b/d")
    expect(url.absolute("a/b", "../c")).equal("c")
    expect(url.absolute("a/b", "../../c")).equal("../c")
    expect(url.absolute("http://me@a:1/b", "/c")).equal("http://me@a:1/c")
    expect(url.absolute("http://me@a:1/b", "//c")).equal("http://c")
    expect(url.absolute("http://a/b", "http://c/d/../e")).equal("http://c/e")
  end)
end)

describe("escapes", function()
  it("leave letters, digits and underscores", function()
    expect(url.escape("/#?;")).equal("%2f%23%3f%3b")
    expect(url.escape("aZ0_ \n\255")).equal("aZ0_%20%0a%ff")
    expect(url.unescape("a%20b%2Fc%2f%")).equal("a b/c/%")
  end)

  it("come back for every byte", function()
    local bytes = {}
    for byte = 0, 255 do bytes[#bytes + 1] = string.char(byte) end
    local all = table.concat(bytes)
    expect(url.unescape(url.escape(all))).equal(all)
  end)
end)

describe("paths", function()
  it("come apart and together", function()
    expect(url.parse_path("/a%20b/c/"))
      .same { "a b", "c", is_absolute = 1, is_directory = 1 }
    expect(url.parse_path("a//b")).same { "a", "b" }
    expect(url.parse_path("")).same {}
    expect(url.parse_path("/").is_absolute).equal(1)
    for _, path in ipairs { "/a/b", "a/b/", "/", "", "/a%20b/%2F", "x" } do
      expect(url.build_path(url.parse_path(path))).equal(path)
    end
  end)

  it("are escaped unless they are said to be", function()
    expect(url.build_path { "a b", "c;d", "~(e)", is_absolute = 1 }).equal("/a%20b/c%3Bd/~(e)")
    expect(url.build_path({ "a b" }, true)).equal("a b")
  end)
end)

test.run()
