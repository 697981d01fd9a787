-- Tests of ssl and ssl.https: TLS between two ends of the same program.
require "splay.base"
local ssl = require "ssl"
local https = require "ssl.https"
local http = require "socket.http"
local ltn12 = require "ltn12"
local identity = require "tls_identity"
local server = require "local_server"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local response = server.response

local as_server = {
  mode = "server", certificate_pem = identity.certificate, key_pem = identity.key,
}
local trusting = { mode = "client", ca = identity.authority, server_name = "localhost" }

-- Two ends of a connection.
local function pair()
  local listening = assert(socket.bind("127.0.0.1", 0))
  local _, port = listening:getsockname()
  local client = assert(socket.connect("127.0.0.1", port))
  local accepted = assert(listening:accept())
  listening:close()
  return client, accepted
end

-- Two ends under TLS; what each handshake returned comes after them.
local function secure_pair(client_parameters, server_parameters)
  local client, accepted = pair()
  local inner = assert(ssl.wrap(accepted, server_parameters or as_server))
  local results, done = nil, {}
  events.thread(function()
    results = { inner:dohandshake() }
    events.fire(done)
  end)
  local outer = assert(ssl.wrap(client, client_parameters or trusting))
  local own = { outer:dohandshake() }
  if not results then events.wait(done, 5) end
  return outer, inner, own, results
end

-- Wraps the server's end of an HTTPS connection.
local function wrap(c)
  c = assert(ssl.wrap(c, as_server))
  return c:dohandshake() and c or nil
end

describe("handshakes", function()
  it("make connections that say what they are", function()
    local client, peer, own, results = secure_pair()
    expect({ own, results }).same { { true }, { true } }
    expect(tostring(client)).matches("^#SE %(TLS%): 0x%x+$")
    expect(client:info("protocol")).equal("TLSv1.3")
    expect(client:info().cipher).matches("^AES_256_GCM_SHA384$")
    expect(client:info("nothing")).is_nil()
    expect(#client:peercertificate()).at_least(200)
    expect(client:peercertificate(2)).is_nil()
    expect(peer:peercertificate()).is_nil()
    expect(client:want()).equal("nothing")
    expect(select(2, client:getpeername())).equal(select(2, peer:getsockname()))
    client:close()
    peer:close()
  end)

  it("take the old object's connection", function()
    local client, peer = pair()
    local wrapped = assert(ssl.wrap(client, trusting))
    expect({ client:send("x") }).same { nil, "closed", 0 }
    expect(client:close()).equal(1)
    expect(wrapped:getfd()).never.equal(-1)
    expect({ ssl.wrap(client, trusting) }).same { nil, "closed" }
    expect(function() ssl.wrap(wrapped, trusting) end).errors("a TLS connection already")
    expect({ wrapped:send("early") }).same { nil, "handshake not done", 0 }
    expect({ wrapped:info() }).same { nil, "handshake not done" }
    wrapped:close()
    peer:close()
  end)

  it("fail where the certificate cannot be trusted", function()
    local _, _, own, results = secure_pair { mode = "client", server_name = "localhost" }
    expect(own).same { false, "certificate verify failed (unknown issuer)" }
    expect(results[1]).is_false()
    expect(results[2]).matches("^tls: ")
    _, _, own = secure_pair { ca = identity.authority, server_name = "elsewhere" }
    expect(own).same { false, "certificate verify failed (not valid for this name)" }
  end)

  it("check the address where there is no name", function()
    local _, _, own = secure_pair { ca = identity.authority }
    expect(own).same { true }
    local client = pair()
    local wrapped = assert(ssl.wrap(client, { ca = identity.authority }))
    expect(wrapped:sni("elsewhere")).is_true()
    wrapped:close()
  end)

  it("trust anybody if they are told to", function()
    local _, _, own = secure_pair { verify = "none", server_name = "elsewhere" }
    expect(own).same { true }
  end)

  it("agree on a version and a protocol above", function()
    local client = secure_pair { ca = identity.authority, protocol = "tlsv1_2" }
    expect(client:info("protocol")).equal("TLSv1.2")
    local _, _, own = secure_pair({ verify = "none", protocol = "tlsv1_3" }, {
      mode = "server", protocol = "tlsv1_2",
      certificate_pem = identity.certificate, key_pem = identity.key,
    })
    expect(own[1]).is_false()
    client = secure_pair({ verify = "none", alpn = { "x", "y" } }, {
      mode = "server", alpn = "y", certificate_pem = identity.certificate, key_pem = identity.key,
    })
    expect(client:getalpn()).equal("y")
  end)

  it("check clients too", function()
    local checking = {
      mode = "server", certificate_pem = identity.certificate, key_pem = identity.key,
      verify = "peer", ca = identity.authority,
    }
    local client, peer, _, results = secure_pair({
      ca = identity.authority, certificate_pem = identity.certificate, key_pem = identity.key,
    }, checking)
    expect(results).same { true }
    expect(peer:peercertificate()).equal(client:peercertificate())
    _, _, _, results = secure_pair(trusting, checking)
    expect(results[1]).is_false()
  end)

  it("end in time, and with the connection", function()
    local client, peer = pair()
    local wrapped = assert(ssl.wrap(client, trusting))
    wrapped:settimeout(0)
    expect({ wrapped:dohandshake() }).same { false, "wantread" }
    expect(wrapped:want()).equal("read")
    wrapped:settimeout(0.1)
    expect({ wrapped:dohandshake() }).same { false, "timeout" }
    peer:close()
    expect({ wrapped:dohandshake() }).same { false, "closed" }
    client, peer = pair()
    wrapped = assert(ssl.wrap(client, trusting))
    peer:send("SSH-2.0-this is no TLS at all\r\n")
    local ok, reason = wrapped:dohandshake()
    expect(ok).is_false()
    expect(reason).matches("^tls: ")
    expect({ wrapped:send("x") }).same { nil, reason, 0 }
  end)

  it("need parameters that make sense", function()
    expect({ ssl.newcontext { mode = "both" } }).same { nil, "invalid mode (both)" }
    expect({ ssl.newcontext { protocol = "sslv3" } }).same { nil, "invalid protocol (sslv3)" }
    expect({ ssl.newcontext { verify = "maybe" } }).same { nil, "invalid verify option (maybe)" }
    expect({ ssl.newcontext { mode = "server" } })
      .same { nil, "a server needs a certificate and a key" }
    expect({ ssl.newcontext { ca = "nothing" } })
      .same { nil, "no certificate of an authority in PEM form" }
    expect({ ssl.newcontext { alpn = "" } }).same { nil, "invalid alpn protocols" }
    expect({ ssl.newcontext { capath = "certs" } }).same { nil, "capath is not supported" }
    local context, reason = ssl.newcontext { cafile = "no such file" }
    expect(context).is_nil()
    expect(reason).contains("no such file")
    local client = pair()
    local bad = assert(ssl.wrap(client, { server_name = "not a name" }))
    expect({ bad:dohandshake() }).same { false, "invalid server name: not a name" }
  end)
end)

describe("contexts", function()
  it("serve several connections, and are not without number", function()
    local context = assert(ssl.newcontext(trusting))
    for _ = 1, 3 do
      local client, peer, own = secure_pair(context)
      expect(own).same { true }
      client:close()
      peer:close()
    end
    local kept = {}
    for _ = 1, 200 do assert(ssl.newcontext {}) end
    for i = 1, 100 do
      local made, reason = ssl.newcontext {}
      if not made then
        expect(reason).equal("too many TLS contexts")
        expect(i).at_least(50)
        kept = nil
        break
      end
      kept[i] = made
    end
    expect(kept).is_nil()
    expect(ssl.newcontext {}).never.is_nil()
  end)
end)

describe("connections", function()
  it("receive by lines, bytes and to the end", function()
    local client, peer = secure_pair()
    expect({ client:send("one\r\ntwo\nthree") }).same { 14 }
    expect({ client:send("xfourx", 2, 5) }).same { 5 }
    client:close()
    expect(peer:receive()).equal("one")
    expect(peer:dirty()).is_true()
    expect(peer:receive("*l")).equal("two")
    expect(peer:receive(5)).equal("three")
    expect(peer:receive("*a", "and ")).equal("and four")
    expect({ peer:receive() }).same { nil, "closed", "" }
    peer:close()
  end)

  it("time out with what has come", function()
    local client, peer = secure_pair()
    peer:settimeout(0.1)
    client:send("part")
    expect({ peer:receive(10) }).same { nil, "timeout", "part" }
    peer:settimeout(0)
    expect({ peer:receive(10) }).same { nil, "timeout", "" }
  end)

  it("carry much in both directions at once", function()
    local client, peer = secure_pair()
    local there = ("0123456789"):rep(60000)
    local back = there:reverse()
    local got, sent
    events.thread(function()
      sent = peer:send(back)
      events.fire("sent")
    end)
    events.thread(function()
      got = peer:receive(#there)
      events.fire("got")
    end)
    local received
    events.thread(function()
      received = client:receive(#back)
      events.fire("received")
    end)
    expect(client:send(there)).equal(#there)
    for _, name in ipairs { "sent", "got", "received" } do events.wait(name, 20) end
    expect(got == there and received == back).is_true()
    expect(sent).equal(#back)
    local bytes_in, bytes_out = client:getstats()
    expect(bytes_in).at_least(#back)
    expect(bytes_out).at_least(#there)
  end)

  it("wait when nobody reads, and go on", function()
    local client, peer = secure_pair()
    client:settimeout(0.2)
    local text = ("x"):rep(20000000)
    local ok, reason, last = client:send(text)
    expect({ ok, reason }).same { nil, "timeout" }
    expect(last).at_least(1)
    expect(last).at_most(#text - 1)
    client:settimeout(20)
    local total = 0
    events.thread(function()
      while true do
        local piece, _, rest = peer:receive(65536)
        total = total + #(piece or rest)
        if not piece then break end
      end
      events.fire("all")
    end)
    expect(client:send(text, last + 1)).equal(#text)
    client:close()
    events.wait("all", 20)
    expect(total).equal(#text)
  end)

  it("can be selected", function()
    local client, peer = secure_pair()
    expect(socket.select({ peer }, nil, 0.05)).same {}
    client:send("one\ntwo\n")
    expect(socket.select({ peer }, nil, 5)[1]).equal(peer)
    peer:receive()
    expect(socket.select({ peer }, nil, 0)[peer]).equal(1)
  end)

  it("begin in the middle of another", function()
    local client, peer = pair()
    events.thread(function()
      peer:send("220 go ahead\r\n")
      local inner = assert(ssl.wrap(peer, as_server))
      assert(inner:dohandshake())
      inner:send("secret\r\n")
      inner:close()
    end)
    expect(client:receive()).equal("220 go ahead")
    local outer = assert(ssl.wrap(client, trusting))
    expect(outer:dohandshake()).is_true()
    expect(outer:receive("*a")).equal("secret\r\n")
  end)

  it("close when nobody holds them any more", function()
    local client, peer = secure_pair()
    client = nil
    collectgarbage()
    collectgarbage()
    expect({ peer:receive() }).same { nil, "closed", "" }
  end)
end)

describe("https", function()
  local requests
  local function serve(pages)
    requests = {}
    local port = server.http(function(request)
      requests[#requests + 1] = request
      return pages[request.uri] or pages.default
    end, wrap)
    return "https://localhost:" .. port, port
  end

  it("requests, sends and receives", function()
    local base, port = serve { default = response(("hello"):rep(10000)) }
    local sink, parts = ltn12.sink.table()
    local ok, code, headers, status = https.request {
      url = base .. "/x", ca = identity.authority, sink = sink, method = "POST",
      source = ltn12.source.string("body"), headers = { ["content-length"] = 4 },
    }
    expect({ ok, code, status }).same { 1, 200, "HTTP/1.1 200 OK" }
    expect(#table.concat(parts)).equal(50000)
    expect(headers["content-length"]).equal("50000")
    expect(requests[1].body).equal("body")
    expect(requests[1].headers.host).equal("localhost:" .. port)
  end)

  it("takes what is common to all requests from its settings", function()
    local base = serve { default = response("hello") }
    expect({ https.request(base) }).same { nil, "certificate verify failed (unknown issuer)" }
    https.cfg.ca = identity.authority
    expect(https.request(base)).equal("hello")
    expect(http.request(base)).equal("hello")
    expect(select(2, https.request(base, "a=1"))).equal(200)
    https.cfg.ca = nil
    expect(requests[#requests].method).equal("POST")
    expect({ https.request { url = base, verify = "none" } }).contains(200)
    local elsewhere = { url = base, ca = identity.authority, server_name = "elsewhere" }
    expect({ https.request(elsewhere) })
      .same { nil, "certificate verify failed (not valid for this name)" }
  end)

  it("is reached by redirections, and not left by them", function()
    local base = serve { ["/"] = response("safe"), ["/out"] = "" }
    local plain = server.http(function()
      return response("", "302 Found", "Location: " .. base .. "/\r\n")
    end)
    local entry = "http://127.0.0.1:" .. plain .. "/"
    local ok, code = http.request { url = entry, ca = identity.authority }
    expect({ ok, code }).same { 1, 200 }
    local leaving = response("", "302 Found", "Location: " .. entry .. "\r\n")
    base = serve { default = leaving }
    expect(select(2, https.request { url = base, ca = identity.authority })).equal(302)
  end)

  it("keeps connections", function()
    local shaken = 0
    local port = server.http(function() return response("x") end, function(c)
      shaken = shaken + 1
      return wrap(c)
    end)
    for _ = 1, 3 do
      expect(https.request {
        url = "https://localhost:" .. port, ca = identity.authority, keepalive = true,
      }).equal(1)
    end
    expect(shaken).equal(1)
    expect({ https.request { url = "https://localhost:" .. port, keepalive = true } })
      .same { nil, "certificate verify failed (unknown issuer)" }
    http.close_idle()
  end)

  it("goes through a proxy's tunnel", function()
    local _, port = serve { default = response("through") }
    local asked
    local proxy = server.start(function(c)
      asked = server.read_request(c)
      if asked.headers["proxy-authorization"] ~= "Basic bWU6cHc=" then
        c:send("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        return
      end
      local far = assert(socket.connect("127.0.0.1", port))
      c:send("HTTP/1.1 200 Connection established\r\n\r\n")
      local function copy(from, to)
        while true do
          local ready = socket.select({ from }, nil, 10)[1]
          if not ready then break end
          from:settimeout(0)
          local data, reason, partial = from:receive(8192)
          data = data or partial
          if data == "" and reason == "closed" then break end
          to:settimeout(10)
          to:send(data)
        end
        to:close()
      end
      events.thread(function() copy(far, c) end)
      copy(c, far)
    end)
    local url = "https://localhost:" .. port .. "/deep"
    local request = { url = url, ca = identity.authority }
    request.proxy = "http://me:pw@127.0.0.1:" .. proxy
    expect({ https.request(request) }).contains(200)
    expect(asked.method).equal("CONNECT")
    expect(asked.uri).equal("localhost:" .. port)
    expect(requests[1].uri).equal("/deep")
    expect(requests[1].headers["proxy-authorization"]).is_nil()
    request.proxy = "http://127.0.0.1:" .. proxy
    expect({ https.request(request) })
      .same { nil, "proxy: HTTP/1.1 407 Proxy Authentication Required" }
  end)
end)

test.run()
