-- Tests of splay.etcd: the client against the store within the program.
require "splay.base"
local etcd = require "splay.etcd"
local socket = require "socket"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

-- A store on a free port and a client of it; the one before ends.
local current
local function both(opts)
  if current then current:stop() end
  local server = assert(etcd.serve(0))
  current = server
  local address = "http://127.0.0.1:" .. server.port
  opts = opts or {}
  opts.host, opts.peer = address, address
  return assert(etcd.new(opts)), server, address
end

describe("a client", function()
  it("is made with options of the right types", function()
    local function wrong(opts, reason) expect({ etcd.new(opts) }).same { nil, reason } end
    wrong(1, "opts must be table")
    wrong({ host = 1 }, "opts.host must be string")
    wrong({ peer = 1 }, "opts.peer must be string")
    wrong({ prefix = {} }, "opts.prefix must be string")
    wrong({ ttl = 1.5 }, "opts.ttl must be int")
    wrong({ timeout = -1 }, "opts.timeout must be unsigned integer")
    expect(etcd.new()).truthy()
    expect(require("etcd.luasocket").new).equal(etcd.new)
  end)

  it("tells what is wrong with arguments", function()
    local cli = both()
    local function wrong(reason, method, ...)
      expect({ cli[method](cli, ...) }).same { nil, reason }
    end
    for _, method in ipairs {
      "get", "set", "setnx", "setx", "push", "delete", "wait", "waitdir", "readdir", "mkdir",
      "mkdirnx", "rmdir", "setTTL",
    } do
      wrong("key must be string", method, 1)
    end
    for _, method in ipairs { "set", "setnx", "setx", "mkdir", "mkdirnx", "setTTL" } do
      wrong("key should not be a slash", method, "//.", "x")
    end
    wrong("ttl must be integer", "set", "/k", "v", 1.5)
    wrong("ttl must be integer", "setTTL", "/k", "x")
    wrong("consistent must be boolean", "get", "/k", 1)
    wrong("consistent must be boolean", "readdir", "/k", true, 1)
    wrong("modifiedIndex must be unsigned integer", "setx", "/k", "v", 1, -1)
    wrong("modifiedIndex must be unsigned integer", "delete", "/k", nil, "x")
    wrong("modifiedIndex must be unsigned integer", "wait", "/k", 1.5)
    wrong("timeout must be unsigned integer", "wait", "/k", 1, -1)
    local _, reason = cli:set("/k", print)
    expect(reason).matches('^encoding error: ".+"$')
  end)

  it("says that it cannot connect", function()
    local cli = etcd.new { host = "http://127.0.0.1:1", peer = "http://127.0.0.1:1" }
    expect({ cli:get("/k") }).same { nil, "connection refused" }
  end)
end)

describe("keys", function()
  it("are set, read and deleted", function()
    local cli = both()
    local answer = cli:set("a//b/../k", { x = 1 })
    expect(answer.status).equal(201)
    expect(answer.header["content-type"]).equal("application/json")
    expect(answer.header["x-etcd-index"]).equal("4")
    expect(answer.initFailoverURIs).is_true()
    expect(answer.body).same {
      action = "set",
      node = { key = "/a/k", value = '{"x":1}', modifiedIndex = 4, createdIndex = 4 },
    }
    expect(cli:get("/a/k").body.node.value).same { x = 1 }
    expect(cli:set("/a/k", "v").body.prevNode.value).equal('{"x":1}')
    expect(cli:get("/a/k").initFailoverURIs).is_nil()
    expect(cli:delete("/a/k", "w").body.cause).equal('["w" != "v"]')
    expect(cli:delete("/a/k", nil, 4).status).equal(412)
    expect(cli:delete("/a/k", "v", 5).body.action).equal("compareAndDelete")
    expect(cli:get("/a/k").body).same {
      errorCode = 100, message = "Key not found", cause = "/a/k", index = 6,
    }
  end)

  it("have any name and value", function()
    local cli = both()
    local key, value = "/a b?c=d&e#f%41/ü", "x&y=z\n\"<\0\127"
    expect(cli:set(key, value).body.node.key).equal(key)
    expect(cli:get(key).body.node.value).equal(value)
    expect(cli:set("/n", 1.5).body.node.value).equal("1.5")
    expect(cli:get("/n").body.node.value).equal(1.5)
  end)

  it("are set only if they are there, or are not", function()
    local cli = both()
    expect(cli:setx("/k", 1).body.errorCode).equal(100)
    expect(cli:setnx("/k", 1).body.action).equal("create")
    expect(cli:setnx("/k", 1).body.errorCode).equal(105)
    expect(cli:setx("/k", 2).body.action).equal("update")
    local answer = cli:setx("/k", 3, -1, 5)
    expect(answer.body.action).equal("compareAndSwap")
    expect(answer.body.node.createdIndex).equal(4)
    expect(cli:setx("/k", 4, -1, 5).status).equal(412)
  end)

  it("are pushed in order", function()
    local cli = both()
    for i = 1, 3 do expect(cli:push("/q", i).body.action).equal("create") end
    local nodes = cli:readdir("/q").body.node.nodes
    expect(#nodes).equal(3)
    for i, node in ipairs(nodes) do
      expect(node.value).equal(tostring(i))
      expect(node.key).equal(("/q/%020d"):format(3 + i))
    end
  end)

  it("live as long as was said", function()
    local cli = both { ttl = 2 }
    expect(cli:set("/k", "v").body.node.ttl).equal(2)
    expect(cli:set("/long", "v", -1).body.node.ttl).is_nil()
    expect(cli:setTTL("/k", 1).body.node.ttl).equal(1)
    expect(cli:setTTL("/none", 1).status).equal(404)
    local answer = cli:wait("/k", nil, 10)
    expect(answer.body.action).equal("expire")
    expect(answer.body.prevNode.value).equal('"v"')
    expect(cli:get("/k").status).equal(404)
    expect(cli:set("/r", "v", 2).status).equal(201)
    for _ = 1, 3 do
      events.sleep(1)
      expect(cli:refresh("/r", 2).body.node.value).equal('"v"')
    end
    expect(cli:refresh("/r", 2, "w").status).equal(412)
    expect(cli:refresh("/gone", 2).status).equal(404)
  end)

  it("have the client's prefix", function()
    local cli, _, address = both { prefix = "app//x/" }
    expect(cli:set("/k", 1).body.node.key).equal("/app/x/k")
    local other = etcd.new { host = address, failover = false }
    expect(other:get("/app/x/k").body.node.value).equal(1)
  end)
end)

describe("directories", function()
  it("are made, read and removed", function()
    local cli = both()
    expect(cli:mkdirnx("/d").status).equal(201)
    expect(cli:mkdirnx("/d").status).equal(412)
    expect(cli:mkdir("/d").body.errorCode).equal(102)
    expect(cli:setTTL("/d", 100).body.node.ttl).equal(100)
    expect(cli:setTTL("/d", -1).body.node.ttl).is_nil()
    cli:set("/d/e/k", 1)
    cli:set("/d/_hidden", 1)
    expect(#cli:readdir("/d").body.node.nodes).equal(1)
    expect(cli:readdir("/d", true).body.node.nodes[1].nodes[1].key).equal("/d/e/k")
    expect(cli:get("/d").body.node.dir).is_true()
    local answer = cli:readdir("/d/e/k", false, true)
    expect({ answer.status, answer.body.node.dir }).same { 404, false }
    expect(cli:delete("/d").status).equal(403)
    expect(cli:rmdir("/d").body.errorCode).equal(108)
    expect(cli:rmdir("/d", true).body.prevNode.dir).is_true()
    expect(cli:readdir("/d").status).equal(404)
  end)
end)

describe("waiting", function()
  it("suspends its own thread alone", function()
    local cli = both()
    local told = {}
    for i = 1, 20 do
      events.thread(function() told[i] = cli:wait("/k", nil, 10).body.node.value end)
    end
    events.sleep(0.5)
    expect(#told).equal(0)
    expect(cli:statsStore().body.watchers).equal(20)
    cli:set("/k", "now")
    events.sleep(0.5)
    for i = 1, 20 do expect(told[i]).equal('"now"') end
    expect(cli:statsStore().body.watchers).equal(0)
  end)

  it("ends with the time", function()
    local cli, _, address = both()
    local before = misc.time()
    expect(cli:wait("/k", nil, 1)).same { status = 408 }
    expect(misc.time() - before).at_least(0.99)
    local impatient = etcd.new { host = address, peer = address, timeout = 1 }
    expect(impatient:waitdir("/k")).same { status = 408 }
    events.sleep(0.5)
    expect(cli:statsStore().body.watchers).equal(0)
  end)

  it("finds what has happened", function()
    local cli = both()
    local first = cli:set("/d/k", 1).body.node.modifiedIndex
    cli:set("/d/k", 2)
    cli:mkdir("/d/e")
    expect(cli:wait("/d/k", first).body.node.value).equal("1")
    expect(cli:wait("/d/k", first + 1).body.prevNode.modifiedIndex).equal(first)
    expect(cli:waitdir("/d", first + 2).body.node).same {
      key = "/d/e", dir = true, modifiedIndex = first + 2, createdIndex = first + 2,
    }
    expect(cli:wait("/d/k", 2).status).equal(200)
    for i = 1, 1000 do cli:set("/other", i) end
    local answer = cli:wait("/d/k", first)
    expect({ answer.status, answer.body.errorCode }).same { 400, 401 }
  end)

  it("is over when the store is", function()
    local cli, server = both()
    local told, reason = false, nil
    events.thread(function() told, reason = cli:wait("/k", nil, 0) end)
    events.sleep(0.2)
    server:stop()
    events.sleep(0.2)
    expect({ told, reason }).same { nil, "closed" }
  end)

  it("ends when a directory above goes", function()
    local cli = both()
    cli:set("/d/e/k", 1)
    local told
    events.thread(function() told = cli:wait("/d/e/k", nil, 0) end)
    events.sleep(0.2)
    cli:rmdir("/d", true)
    events.sleep(0.2)
    expect(told.body.node).same { key = "/d", dir = true, modifiedIndex = 5, createdIndex = 4 }
  end)
end)

describe("the server", function()
  it("is asked about itself", function()
    local cli, _, address = both()
    expect(cli:version().body).same { etcdserver = "3.4.23", etcdcluster = "3.4.0" }
    expect(cli:statsLeader().body.followers).same {}
    expect(cli:statsSelf().body.name).equal("default")
    cli:set("/k", 1)
    expect(cli:statsStore().body.setsSuccess).equal(1)
    expect(cli:adminMachines().body).same {
      { name = "default", state = "leader", clientURL = address, peerURL = address },
    }
    expect(cli:machines("default").body.name).equal("default")
    expect(cli:machines("none").status).equal(200)
    expect(cli:removeMachine("none").status).equal(200)
    expect(cli:removeAdminMachines("default").status).equal(403)
    expect(cli:setConfig({ activeSize = 1, removeDelay = 10 }).body).same {
      activeSize = 3, removeDelay = 10, syncInterval = 5,
    }
    expect(cli:config().body.removeDelay).equal(10)
    expect(cli:adminConfig().body.activeSize).equal(3)
  end)

  it("keeps connections", function()
    local _, server, address = both()
    local cli = etcd.new { host = address, failover = false }
    for i = 1, 10 do cli:set("/k", i) end
    local count = 0
    for _ in pairs(server.clients) do count = count + 1 end
    expect(count).equal(1)
  end)

  it("streams, in HTTP as it stands", function()
    local cli, server = both()
    local c = socket.connect("127.0.0.1", server.port)
    c:settimeout(5)
    c:send("GET /v2/keys/s?wait=true&stream=true&recursive=true HTTP/1.1\r\nHost: x\r\n\r\n")
    expect(c:receive()).equal("HTTP/1.1 200 OK")
    local line
    repeat line = c:receive() until line == ""
    for i = 1, 3 do
      cli:set("/s/k", i)
      c:receive()
      expect(c:receive()).contains('"value":"' .. i .. '"')
      c:receive()
    end
    c:close()
    events.sleep(0.2)
    expect(cli:statsStore().body.watchers).equal(0)
  end)

  it("answers what is no request", function()
    local _, server = both()
    for _, text in ipairs {
      "nonsense\r\n\r\n", "GET / HTTP/1.1\r\nno field\r\n\r\n",
      "PUT /v2/keys/k HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
      "PUT /v2/keys/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    } do
      local c = socket.connect("127.0.0.1", server.port)
      c:send(text)
      expect(c:receive()).equal("HTTP/1.1 400 Bad Request")
    end
  end)

  it("takes chunks, and several requests at once", function()
    local _, server = both()
    local c = socket.connect("127.0.0.1", server.port)
    local head = "PUT /v2/keys/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
      .. "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    c:send(head .. "6\r\nvalue=\r\n3\r\nabc\r\n0\r\n\r\nGET /v2/keys/k HTTP/1.0\r\n\r\n")
    expect(c:receive()).equal("HTTP/1.1 201 Created")
    local rest = c:receive("*a")
    expect(rest).contains("HTTP/1.1 200 OK")
    expect(rest).contains('"value":"abc"')
  end)

  it("stops", function()
    local cli, server, address = both()
    cli:set("/k", 1, 1)
    server:stop()
    server:stop()
    expect(cli:get("/k")).is_nil()
    local again = assert(etcd.serve(server.port))
    expect(etcd.new({ host = address, peer = address }):get("/k").status).equal(404)
    again:stop()
  end)
end)

describe("other servers", function()
  -- A server that answers the same to everybody.
  local function answering(text)
    local listener = socket.bind("127.0.0.1", 0)
    local _, port = listener:getsockname()
    events.thread(function()
      while true do
        local c = listener:accept()
        if not c then return end
        repeat local line = c:receive() until not line or line == ""
        c:send(text .. "Connection: close\r\n\r\n")
        c:close()
      end
    end)
    return "http://127.0.0.1:" .. port, listener
  end

  it("are gone to where one sends to them", function()
    local cli, _, address = both()
    cli:set("/k", 1)
    local follower = answering("HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n"
      .. "Location: " .. address .. "/v2/keys/k?consistent=true\r\n")
    local other = etcd.new { host = follower, peer = address }
    local answer = other:get("/k", true)
    expect({ answer.status, answer.failover }).same { 200, address }
    expect(other:get("/k", true).failover).is_nil()
  end)

  it("answer in place of one that is gone", function()
    local cli, _, address = both()
    cli:set("/k", 1)
    local gone, listener = answering("")
    local other = etcd.new { host = gone, peer = address }
    listener:close()
    local answer = other:get("/k")
    expect(answer and answer.status).equal(200)
    expect(answer.failover).equal(address)
    expect(other:set("/k", 2).failover).is_nil()
  end)

  it("need not be known", function()
    local _, _, address = both()
    local cli = etcd.new { host = address, peer = "http://127.0.0.1:1" }
    local answer = cli:set("/k", 1)
    expect({ answer.status, answer.initFailoverURIs }).same { 201, false }
    expect(answer.err).equal("connection refused")
    expect(cli:set("/k", 1).initFailoverURIs).is_false()
  end)
end)

test.run()
