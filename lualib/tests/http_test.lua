-- Tests of socket.http against a server within the program.
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

-- A server that sends the same bytes to everybody and closes.
local function serve_raw(bytes)
  local port = server.start(function(c)
    server.read_request(c)
    c:send(bytes)
  end)
  return "http://127.0.0.1:" .. port .. "/"
end

-- A request whose results come with the whole body in place of 1.
local function fetch(request)
  local sink, parts = ltn12.sink.table()
  request.sink = sink
  local ok, code, headers, status = http.request(request)
  if not ok then return nil, code end
  return table.concat(parts), code, headers, status
end

describe("a URL", function()
  it("is requested", function()
    local base, port = serve { ["/a?b"] = response("hello", nil, "X-Kind: Test\r\n") }
    local body, code, headers, status = http.request(base .. "/a?b#part")
    expect({ body, code, status }).same { "hello", 200, "HTTP/1.1 200 OK" }
    expect(headers["content-length"]).equal("5")
    expect(headers["x-kind"]).equal("Test")
    expect(requests[1].method).equal("GET")
    expect(requests[1].headers).same {
      host = "127.0.0.1:" .. port, connection = "close, TE", te = "trailers",
      ["user-agent"] = socket._VERSION,
    }
  end)

  it("gets a body with POST", function()
    local base = serve { default = function(request) return response(request.body) end }
    local body, code = http.request(base .. "/form", "a=1&b=2")
    expect({ body, code }).same { "a=1&b=2", 200 }
    expect(requests[1].method).equal("POST")
    expect(requests[1].headers["content-type"]).equal("application/x-www-form-urlencoded")
    expect(requests[1].headers["content-length"]).equal("7")
  end)

  it("may lack a path and contain blanks", function()
    local base = serve { default = response("") }
    http.request(base)
    http.request(base .. "/a b\r\nX: y")
    expect(requests[1].uri).equal("/")
    expect(requests[2].uri).equal("/a%20b%0d%0aX:%20y")
    expect(requests[2].headers.x).is_nil()
  end)

  it("may carry user and password", function()
    local base = serve { default = response("") }
    http.request((base:gsub("//", "//me:se%%20cret@")) .. "/")
    expect(requests[1].headers.authorization).equal("Basic bWU6c2UgY3JldA==")
    expect(requests[1].headers.host).never.contains("@")
  end)

  it("fails as a value", function()
    local closed = assert(socket.bind("127.0.0.1", 0))
    local _, port = closed:getsockname()
    closed:close()
    expect({ http.request("http://127.0.0.1:" .. port .. "/") }).same { nil, "connection refused" }
    expect({ http.request("gopher://host/") }).same { nil, "unknown scheme 'gopher'" }
    expect({ http.request("/path") }).same { nil, "invalid host 'nil'" }
    expect({ http.request("") }).same { nil, "invalid url" }
    expect({ http.request("http://host:x/") }).same { nil, "invalid port" }
  end)
end)

describe("a table", function()
  it("names method, fields, sink and parts of the URL", function()
    local _, port = serve { default = response("hello") }
    local sink, parts = ltn12.sink.table()
    local ok, code, headers, status = http.request {
      host = "127.0.0.1", port = port, path = "/x", query = "y", method = "delete",
      headers = { ["X-One"] = 1, HOST = "elsewhere" }, sink = sink,
    }
    expect({ ok, code, status }).same { 1, 200, "HTTP/1.1 200 OK" }
    expect(headers["content-length"]).equal("5")
    expect(parts).same { "hello" }
    expect(requests[1].method).equal("DELETE")
    expect(requests[1].uri).equal("/x?y")
    expect(requests[1].headers["x-one"]).equal("1")
    expect(requests[1].headers.host).equal("elsewhere")
  end)

  it("sends a source of known length as it is, others in chunks", function()
    local base = serve { default = response("") }
    http.request {
      url = base, method = "PUT", source = ltn12.source.table { "ab", "cd" },
      headers = { ["content-length"] = 4 },
    }
    expect(requests[1].body).equal("abcd")
    expect(requests[1].headers["transfer-encoding"]).is_nil()
    local steps = 0
    http.request {
      url = base, method = "PUT", source = ltn12.source.table { "ab", "", "cde" },
      step = function(source, sink)
        steps = steps + 1
        return ltn12.pump.step(source, sink)
      end,
    }
    expect(requests[2].body).equal("abcde")
    expect(requests[2].chunks).equal(2)
    expect(requests[2].headers["transfer-encoding"]).equal("chunked")
    expect(steps).at_least(4)
  end)

  it("is left as it was", function()
    local moved = response("", "302 Found", "Location: /b\r\n")
    local base = serve { ["/"] = moved, ["/b"] = response("") }
    local request = { url = base .. "/" }
    http.request(request)
    expect(request).same { url = base .. "/" }
  end)

  it("may make its socket", function()
    local base = serve { default = response("x") }
    local made = 0
    local body = fetch { url = base, create = function()
      made = made + 1
      return socket.tcp()
    end }
    expect({ body, made }).same { "x", 1 }
    expect({ http.request { url = base, create = function() return nil, "no socket" end } })
      .same { nil, "no socket" }
  end)

  it("fails where source or sink fail, or fields are none", function()
    local base = serve { default = response("hello") }
    expect({ http.request { url = base, sink = ltn12.sink.error("full") } }).same { nil, "full" }
    expect({ http.request { url = base, method = "PUT", source = ltn12.source.error("gone") } })
      .same { nil, "gone" }
    expect({ http.request { url = base, headers = { x = "a\r\nY: b" } } })
      .same { nil, "invalid header 'x'" }
    expect({ http.request { url = base, method = "GET / HTTP/1.1\r\nX: y\r\n\r\n" } })
      .same { nil, "invalid request line" }
    expect(function() http.request { url = base, sink = function() error("mine") end } end)
      .errors("mine")
  end)
end)

describe("a response", function()
  it("comes in chunks, with fields after it", function()
    local url = serve_raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nX: 1\r\n\r\n"
      .. "5\r\nhello\r\n00001 ; a=b\r\n,\r\n" .. "6\r\n world\r\n0\r\nX: 2\r\nTrailer: yes\r\n\r\n")
    local body, code, headers = http.request(url)
    expect({ body, code }).same { "hello, world", 200 }
    expect({ headers.x, headers.trailer }).same { "1, 2", "yes" }
  end)

  it("comes in large chunks, piece by piece", function()
    local large = ("0123456789abcdef"):rep(4096)
    local head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    local url = serve_raw(head .. ("%x\r\n%s\r\n0\r\n\r\n"):format(#large, large))
    local longest, parts = 0, {}
    expect(http.request { url = url, sink = function(chunk)
      if chunk then
        longest, parts[#parts + 1] = math.max(longest, #chunk), chunk
      end
      return 1
    end }).equal(1)
    expect(table.concat(parts) == large).is_true()
    expect(longest).at_most(16384)
  end)

  it("ends with the connection where nothing says otherwise", function()
    expect(http.request(serve_raw("HTTP/1.0 200 OK\r\n\r\nall of it"))).equal("all of it")
    expect(http.request(serve_raw("HTTP/1.0 200 OK\r\n\r\n"))).equal("")
  end)

  it("has no body after HEAD, 204 and 304", function()
    local base = serve {
      ["/head"] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
      ["/204"] = "HTTP/1.1 204 No Content\r\n\r\n",
      ["/304"] = "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n",
    }
    local body, code, headers = fetch { url = base .. "/head", method = "HEAD" }
    expect({ body, code, headers["content-length"] }).same { "", 200, "1000" }
    expect({ fetch { url = base .. "/204" } }).never.is_nil()
    expect(select(2, http.request(base .. "/204"))).equal(204)
    expect(select(2, http.request(base .. "/304"))).equal(304)
  end)

  it("may be announced by others", function()
    local url = serve_raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      .. "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
    local body, code, headers = http.request(url)
    expect({ body, code, headers.link }).same { "ok", 201 }
  end)

  it("may be an error, which is no failure", function()
    local base = serve { default = response("not here", "404 Not Found") }
    local body, code, _, status = http.request(base)
    expect({ body, code, status }).same { "not here", 404, "HTTP/1.1 404 Not Found" }
  end)

  it("joins fields, folded ones too", function()
    local url = serve_raw("HTTP/1.1 200 OK\nSet-Cookie: a=1\nSet-Cookie: b=2\r\nX-Long: one\r\n"
      .. "\ttwo\r\n   three\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n")
    local _, _, headers = http.request(url)
    expect(headers["set-cookie"]).equal("a=1, b=2")
    expect(headers["x-long"]).equal("one two three")
    expect(headers["x-empty"]).equal("")
  end)

  it("of HTTP/0.9 is a body alone", function()
    expect({ http.request(serve_raw("<html>old</html>")) }).same { "<html>old</html>", 200 }
    expect({ http.request(serve_raw("<a>")) }).same { "<a>", 200 }
  end)

  it("that is broken is a failure", function()
    local function reason(bytes)
      local body, why = http.request(serve_raw(bytes))
      expect(body).is_nil()
      return why
    end
    expect(reason("")).equal("closed")
    expect(reason("HTTP/1.1 abc\r\n\r\n")).equal("malformed status line")
    expect(reason("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")).equal("closed")
    expect(reason("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")).equal("malformed response headers")
    expect(reason("HTTP/1.1 200 OK\r\nX: 1\r\n")).equal("closed")
    local chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    expect(reason(chunked .. "zz\r\n")).equal("invalid chunk size")
    expect(reason(chunked .. "2\r\nabc\r\n")).equal("invalid chunk")
    expect(reason(chunked .. "2\r\na")).equal("closed")
    expect(reason("HTTP/1.1 200 OK\r\n" .. ("X: y\r\n"):rep(90000))).matches("headers")
  end)

  it("has as many fields as it likes, within reason", function()
    local lines = {}
    for i = 1, 500 do lines[i] = ("X-%d: %d\r\n"):format(i, i) end
    local url = serve_raw("HTTP/1.1 200 OK\r\n" .. table.concat(lines) .. "\r\n")
    local _, _, headers = http.request(url)
    expect(headers["x-500"]).equal("500")
  end)

  it("that does not come is a timeout", function()
    local port = server.start(function() socket.sleep(5) end)
    http.TIMEOUT = 0.2
    local start = socket.gettime()
    local body, reason = http.request("http://127.0.0.1:" .. port .. "/")
    http.TIMEOUT = 60
    expect({ body, reason }).same { nil, "timeout" }
    expect(socket.gettime() - start).near(0.2, 0.15)
  end)

  it("keeps nobody else waiting", function()
    local base = serve { default = function()
      socket.sleep(0.3)
      return response("late")
    end }
    local done, start = {}, socket.gettime()
    for i = 1, 5 do
      events.thread(function()
        local body = http.request(base .. "/" .. i)
        done[#done + 1] = body
        events.fire("one more")
      end)
    end
    while #done < 5 do events.wait("one more", 5) end
    expect(done).same { "late", "late", "late", "late", "late" }
    expect(socket.gettime() - start).at_most(1)
  end)
end)

describe("low-level connections", function()
  it("send and receive part by part", function()
    local _, port = serve { default = function(request) return response(request.body) end }
    local c = http.open("127.0.0.1", port)
    c:sendrequestline("POST", "/x")
    c:sendheaders { host = "here", ["content-length"] = 3 }
    c:sendbody({ ["content-length"] = 3 }, ltn12.source.string("abc"))
    local code, status = c:receivestatusline()
    expect({ code, status }).same { 200, "HTTP/1.1 200 OK" }
    local headers = c:receiveheaders()
    local sink, parts = ltn12.sink.table()
    c:receivebody(headers, sink)
    expect(parts).same { "abc" }
    expect(c:close()).equal(1)
    expect(requests[1].headers.host).equal("here")
  end)
end)

test.run()
