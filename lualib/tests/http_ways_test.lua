-- Tests of the ways a request of socket.http may go: redirections, proxies, kept connections.
require "splay.base"
local http = require "socket.http"
local ltn12 = require "ltn12"
local server = require "local_server"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local response = server.response

-- Serves by path, and remembers requests and connections.
local requests, connections
local function serve(pages)
  requests, connections = {}, 0
  local seen = {}
  local port = server.http(function(request, c)
    if not seen[c] then
      seen[c], connections = true, connections + 1
    end
    requests[#requests + 1] = request
    local page = pages[request.uri] or pages.default
    if type(page) == "function" then return page(request, c) end
    return page
  end)
  return "http://127.0.0.1:" .. port, port
end

local function moved(to, code)
  return response("moved", code or "302 Found", "Location: " .. to .. "\r\n")
end

describe("redirections", function()
  it("are followed, whatever form the address has", function()
    local pages = { ["/a/end"] = response("end") }
    local base = serve(pages)
    pages["/a/1"], pages["/a/2"] = moved("2"), moved("/a/3", "301 Moved")
    pages["/a/3"], pages["/a/4"] = moved("../a/4", "307 Temporary"), moved("?5", "303 See Other")
    pages["/a/4?5"] = moved(base .. "/a/end", "308 Permanent")
    local body, code, headers = http.request(base .. "/a/1")
    expect({ body, code }).same { "end", 200 }
    expect(headers.location).equal(base .. "/a/end")
    expect(#requests).equal(6)
  end)

  it("end after five, or as the request says", function()
    local base = serve { default = function(request)
      return moved("/" .. (tonumber(request.uri:sub(2)) + 1))
    end }
    local body, code = http.request(base .. "/0")
    expect({ body, code, #requests }).same { "moved", 302, 6 }
    requests = {}
    expect(select(2, http.request { url = base .. "/0", maxredirects = 2 })).equal(302)
    expect(#requests).equal(3)
  end)

  it("have no limit if there is none", function()
    local base = serve { default = function(request)
      local n = tonumber(request.uri:sub(2))
      return n < 20 and moved("/" .. (n + 1)) or response("end")
    end }
    expect(select(2, http.request { url = base .. "/0", maxredirects = false })).equal(200)
    expect(#requests).equal(21)
  end)

  it("are results where they are not wanted, or may not be followed", function()
    local base = serve { default = moved("/end"), ["/x"] = moved("gopher://host/"),
      ["/empty"] = moved(" ") }
    expect(select(2, http.request { url = base, redirect = false })).equal(302)
    expect(select(2, http.request(base, "body"))).equal(302)
    expect(select(2, http.request { url = base, method = "DELETE" })).equal(302)
    expect(select(2, http.request(base .. "/x"))).equal(302)
    expect(select(2, http.request(base .. "/empty"))).equal(302)
    expect(#requests).equal(5)
  end)

  it("keep the method", function()
    local base = serve { ["/"] = moved("/end"), ["/end"] = response("") }
    http.request { url = base .. "/", method = "HEAD" }
    expect({ requests[1].method, requests[2].method }).same { "HEAD", "HEAD" }
  end)

  it("take secrets along to the same server only", function()
    local pages = { ["/here"] = moved("/end"), ["/end"] = response("") }
    local base, port = serve(pages)
    pages["/there"] = moved("http://localhost:" .. port .. "/end")
    local headers = { Authorization = "secret", Cookie = "a=1", ["X-Mine"] = "kept" }
    http.request { url = base .. "/here", headers = headers }
    expect(requests[2].headers.authorization).equal("secret")
    http.request { url = base .. "/there", headers = headers }
    expect(requests[4].headers.authorization).is_nil()
    expect(requests[4].headers.cookie).is_nil()
    expect(requests[4].headers["x-mine"]).equal("kept")
    local with_user = base:gsub("//", "//me:pw@")
    http.request(with_user .. "/here")
    expect(requests[6].headers.authorization).equal("Basic bWU6cHc=")
    http.request(with_user .. "/there")
    expect(requests[8].headers.authorization).is_nil()
    expect(requests[8].headers.host).equal("localhost:" .. port)
  end)
end)

describe("proxies", function()
  it("get whole URLs", function()
    local proxy, port = serve { default = response("by proxy") }
    local body = http.request { url = "http://me:pw@far.away:81/x;y?z", proxy = proxy }
    expect(body).equal(1)
    expect(requests[1].uri).equal("http://far.away:81/x;y?z")
    expect(requests[1].headers.host).equal("far.away:81")
    expect(requests[1].headers.authorization).equal("Basic bWU6cHc=")
    expect(requests[1].headers["proxy-authorization"]).is_nil()
    http.PROXY = "http://you:secret@127.0.0.1:" .. port
    body = http.request("http://far.away/")
    http.PROXY = nil
    expect(body).equal("by proxy")
    expect(requests[2].uri).equal("http://far.away/")
    expect(requests[2].headers["proxy-authorization"]).equal("Basic eW91OnNlY3JldA==")
  end)

  it("take redirections too", function()
    local proxy = serve {
      ["http://far.away/"] = moved("http://further.away/b"),
      ["http://further.away/b"] = response("there"),
    }
    expect(select(2, http.request { url = "http://far.away/", proxy = proxy })).equal(200)
    expect(#requests).equal(2)
  end)
end)

describe("kept connections", function()
  local function get(url, more)
    local sink, parts = ltn12.sink.table()
    local request = { url = url, sink = sink, keepalive = true }
    for name, value in pairs(more or {}) do request[name] = value end
    local ok, code = http.request(request)
    return ok and table.concat(parts) or nil, code
  end

  it("serve one request after the other", function()
    local base = serve {
      default = response("one"), ["/2"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. "3\r\ntwo\r\n0\r\n\r\n", ["/3"] = "HTTP/1.1 204 No\r\n\r\n",
      ["/4"] = function(request) return response(request.body) end,
    }
    expect(get(base .. "/1")).equal("one")
    expect(get(base .. "/2")).equal("two")
    expect(get(base .. "/3")).equal("")
    expect(get(base .. "/4", { method = "PUT", source = ltn12.source.string("four") }))
      .equal("four")
    expect(connections).equal(1)
    expect(requests[1].headers.connection).equal("keep-alive, TE")
    http.close_idle()
    expect(get(base .. "/1")).equal("one")
    expect(connections).equal(2)
    http.close_idle()
  end)

  it("are for one server, and for those who ask", function()
    local first = serve { default = response("first") }
    get(first .. "/")
    local second = serve { default = response("second") }
    expect(get(second .. "/")).equal("second")
    expect(get(first .. "/")).equal("first")
    expect(http.request(second .. "/")).equal("second")
    expect(connections).equal(2)
    http.close_idle()
  end)

  it("end where the server says so, or the body has no other end", function()
    local base = serve {
      ["/close"] = response("x", nil, "Connection: close\r\n"),
      ["/old"] = "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
      ["/rest"] = function(_, c)
        c:send("HTTP/1.1 200 OK\r\n\r\nx")
        return nil
      end,
    }
    for _, path in ipairs { "/close", "/old", "/rest" } do
      expect(get(base .. path)).equal("x")
      expect(get(base .. path)).equal("x")
    end
    expect(connections).equal(6)
  end)

  it("are replaced when the server has closed them, or they are too old", function()
    local closing = true
    local base = serve { default = function(_, c)
      c:send(response("x"))
      return not closing and "" or nil
    end }
    expect(get(base .. "/")).equal("x")
    socket.sleep(0.05)
    closing = false
    expect(get(base .. "/")).equal("x")
    expect(connections).equal(2)
    http.KEEPALIVE = 0
    expect(get(base .. "/")).equal("x")
    expect(get(base .. "/")).equal("x")
    http.KEEPALIVE = 15
    expect(connections).equal(3)
    http.close_idle()
  end)

  it("are replaced when the server closes them at the same moment", function()
    local first = true
    local base = serve { default = function()
      if #requests == 2 and first then
        first = false
        return nil
      end
      return response("x")
    end }
    expect(get(base .. "/")).equal("x")
    expect(get(base .. "/")).equal("x")
    expect({ #requests, connections }).same { 3, 2 }
    -- A request that must not be sent twice fails instead.
    first, requests = true, { {} }
    expect({ get(base .. "/", { method = "POST" }) }).same { nil, "closed" }
    http.close_idle()
  end)
end)

test.run()
