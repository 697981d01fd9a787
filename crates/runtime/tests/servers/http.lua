-- Requests to nginx; `given` is put before this file.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local http = require "socket.http"
local https = require "ssl.https"
local ltn12 = require "ltn12"
local socket = require "socket"

local base = "http://127.0.0.1:" .. given.http
local secure = "https://localhost:" .. given.https
local cafile = given.folder .. "/ca.pem"

local function fetch(request)
  local sink, parts = ltn12.sink.table()
  request.sink = sink
  local ok, code, headers = http.request(request)
  if not ok then return nil, code end
  return table.concat(parts), code, headers
end

local function read(name)
  local file = assert(io.open(given.folder .. "/" .. name, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

describe("nginx", function()
  it("gives files", function()
    local body, code, headers, status = http.request(base .. "/small.txt")
    expect({ body, code, status }).same { "small\n", 200, "HTTP/1.1 200 OK" }
    expect(headers["content-type"]).equal("text/plain")
    expect(headers.server).matches("^nginx")
    body, code = http.request(base .. "/large.bin")
    expect(code).equal(200)
    expect(body == read("files/large.bin")).is_true()
  end)

  it("gives parts, heads, errors", function()
    local body, code, headers = fetch {
      url = base .. "/large.bin", headers = { range = "bytes=10-19" },
    }
    expect({ #body, code }).same { 10, 206 }
    expect(headers["content-range"]).equal("bytes 10-19/3000000")
    body, code, headers = fetch { url = base .. "/large.bin", method = "HEAD" }
    expect({ body, code, headers["content-length"] }).same { "", 200, "3000000" }
    expect(select(2, http.request(base .. "/none"))).equal(404)
    expect(select(2, http.request(base .. "/small.txt", "a=1"))).equal(405)
  end)

  it("sends chunks", function()
    local body, code, headers = http.request(base .. "/page.shtml")
    expect(code).equal(200)
    expect(headers["transfer-encoding"]).equal("chunked")
    expect(body).equal("by HTTP/1.1 from 127.0.0.1\n")
  end)

  it("takes files, of known length or in chunks", function()
    local content = ("0123456789abcde\n"):rep(20000)
    expect(select(2, fetch {
      url = base .. "/put/known", method = "PUT", source = ltn12.source.string(content),
      headers = { ["content-length"] = #content },
    })).equal(201)
    expect(select(2, fetch {
      url = base .. "/put/chunked", method = "PUT", source = ltn12.source.string(content),
    })).equal(201)
    expect(http.request(base .. "/put/known") == content).is_true()
    expect(read("files/put/chunked") == content).is_true()
    expect(select(2, fetch { url = base .. "/put/known", method = "DELETE" })).equal(204)
    expect(select(2, http.request(base .. "/put/known"))).equal(404)
  end)

  it("redirects", function()
    local body, code, headers = http.request(base .. "/old/small.txt")
    expect({ body, code }).same { "small\n", 200 }
    expect(headers.location).equal(base .. "/small.txt")
    expect(select(2, http.request(base .. "/round"))).equal(302)
    expect(select(2, fetch { url = base .. "/old/small.txt", redirect = false })).equal(301)
  end)

  it("asks who is there", function()
    expect(select(2, http.request(base .. "/private/small.txt"))).equal(401)
    local body, code = http.request((base:gsub("//", "//me:secret@")) .. "/private/small.txt")
    expect({ body, code }).same { "small\n", 200 }
  end)

  it("keeps connections", function()
    local function connection(keep)
      local _, _, headers = fetch { url = base .. "/small.txt", keepalive = keep }
      return headers["x-connection"]
    end
    expect(connection(false)).never.equal(connection(false))
    local first = connection(true)
    for _ = 1, 5 do expect(connection(true)).equal(first) end
    -- It closes after a second of silence.
    socket.sleep(1.3)
    expect(connection(true)).never.equal(first)
    http.close_idle()
  end)

  it("stands between as a proxy", function()
    local body, code, headers = fetch {
      url = base .. "/small.txt", proxy = "http://127.0.0.1:" .. given.proxy,
    }
    expect({ body, code, headers["x-by"] }).same { "small\n", 200, "proxy" }
  end)

  it("serves many at once", function()
    local events = require "splay.events"
    local right = 0
    for i = 1, 40 do
      events.thread(function()
        local body = http.request(base .. (i % 2 == 0 and "/small.txt" or "/large.bin"))
        if body and #body == (i % 2 == 0 and 6 or 3000000) then right = right + 1 end
        events.fire("done " .. i)
      end)
    end
    for i = 1, 40 do events.wait("done " .. i, 20) end
    expect(right).equal(40)
  end)
end)

describe("nginx over TLS", function()
  it("is trusted with its authority", function()
    local sink, parts = ltn12.sink.table()
    local ok, code, headers = https.request {
      url = secure .. "/small.txt", cafile = cafile, sink = sink,
    }
    expect({ ok, code }).same { 1, 200 }
    expect(parts).same { "small\n" }
    expect(headers["x-protocol"]).equal("TLSv1.3")
    https.cfg.cafile = cafile
    local body = https.request(secure .. "/large.bin")
    expect(body == read("files/large.bin")).is_true()
    https.cfg.cafile = nil
  end)

  it("speaks the older version", function()
    local _, code, headers = https.request {
      url = secure .. "/small.txt", cafile = cafile, protocol = "tlsv1_2",
    }
    expect({ code, headers["x-protocol"] }).same { 200, "TLSv1.2" }
  end)

  it("is not trusted without it, under another name, or after its time", function()
    expect({ https.request(secure .. "/small.txt") })
      .same { nil, "certificate verify failed (unknown issuer)" }
    expect({ https.request {
      url = secure .. "/small.txt", cafile = given.folder .. "/other/ca.pem",
    } }).same { nil, "certificate verify failed (unknown issuer)" }
    expect({ https.request {
      url = "https://127.0.0.1:" .. given.https .. "/small.txt", cafile = cafile,
    } }).same { nil, "certificate verify failed (not valid for this name)" }
    expect({ https.request {
      url = "https://localhost:" .. given.expired .. "/small.txt", cafile = cafile,
    } }).same { nil, "certificate verify failed (expired)" }
  end)

  it("is trusted without being checked", function()
    local _, code = https.request { url = secure .. "/small.txt", verify = "none" }
    expect(code).equal(200)
    _, code = https.request {
      url = "https://localhost:" .. given.expired .. "/small.txt", verify = "none",
    }
    expect(code).equal(200)
  end)

  it("checks who we are", function()
    local request = { url = "https://localhost:" .. given.mutual .. "/small.txt", cafile = cafile }
    expect(select(2, https.request(request))).equal(400)
    request.certificate = given.folder .. "/leaf.pem"
    request.key = given.folder .. "/leaf.key"
    expect(select(2, https.request(request))).equal(200)
  end)

  it("redirects to it, keeps its connections", function()
    local _, code, headers = http.request { url = base .. "/secure", cafile = cafile }
    expect({ code, headers["x-protocol"] }).same { 200, "TLSv1.3" }
    local function connection()
      local _, _, fields = https.request {
        url = secure .. "/small.txt", cafile = cafile, keepalive = true,
      }
      return fields["x-connection"]
    end
    expect(connection()).equal(connection())
    http.close_idle()
  end)

  it("is no plain server", function()
    local ok, reason = https.request { url = "https://localhost:" .. given.http, cafile = cafile }
    expect(ok).is_nil()
    expect(reason).matches("^tls: ")
    expect(select(2, http.request("http://localhost:" .. given.https))).equal(400)
  end)
end)

test.run()
