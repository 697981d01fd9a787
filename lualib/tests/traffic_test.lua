local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local events, rpc, misc = require "splay.events", require "splay.rpc", require "splay.misc"
local socket = require "socket.core"
local traffic = require "splay.traffic"
local engine = traffic.engine()

--- Ports that nobody has.
local function free_ports()
  local held, ports = {}, {}
  for n = 1, 2 do
    held[n] = assert(socket.tcp())
    assert(held[n]:bind("127.0.0.1", 0))
    ports[n] = tonumber((select(2, held[n]:getsockname())))
  end
  for _, one in ipairs(held) do one:close() end
  return ports[1], ports[2]
end

--- Both sides of a test with the same settings, some of them the client's alone.
local function both(settings, client)
  local control, port = free_ports()
  settings = misc.merge({ control_port = control, port = port, host = "127.0.0.1", patience = 20 },
    settings)
  local done, server, reason = {}, nil, nil
  events.thread(function()
    server, reason = traffic.serve(settings)
    done.over = true
    events.fire(done)
  end)
  local figures, err = traffic.run(misc.merge(client or {}, settings))
  if not done.over then events.wait(done, 30) end
  return figures or err, server or reason
end

local function check_transactions(client, server)
  expect(client).is_a("table")
  expect(server).is_a("table")
  expect(client.num_transactions).at_least(5)
  expect(client.throughput).at_least(5)
  expect(client.latency_min).at_most(client.latency_mean)
  expect(client.latency_mean).at_most(client.latency_max)
  expect(client.latency_p50).at_most(client.latency_max)
  expect(server.num_transactions).at_least(client.num_transactions)
end

for _, native in ipairs { true, false } do
  describe(native and "traffic" or "traffic over the instance's own sockets", function()
    for _, workload in ipairs { "tcp_rr", "tcp_crr", "udp_rr" } do
      it("measures " .. workload, function()
        local client, server = both({ workload = workload, native = native },
          { flows = 2, percentiles = { 50 } })
        check_transactions(client, server)
      end)
    end

    it("measures tcp_stream", function()
      local client, server = both({ workload = "tcp_stream", native = native })
      expect(client.throughput_Mbps).is_nil()
      expect(server.throughput_Mbps).at_least(0.1)
      expect(client.sent_bytes).at_least(server.received_bytes)
    end)

    it("measures udp_stream at a rate", function()
      local client, server = both({ workload = "udp_stream", native = native, rate = 4e6,
        buffer_size = 1000 })
      -- Sleeping is never shorter than asked for, and on a busy machine longer.
      expect(client.throughput_Mbps).at_most(4.5)
      expect(client.throughput_Mbps).at_least(0.2)
      expect(server.throughput_Mbps).at_most(4.5)
    end)

    it("answers nil and a reason", function()
      local control, port = free_ports()
      local figures, reason = traffic.run { host = "127.0.0.1", control_port = control, port = port,
        patience = 0.2, native = native }
      expect(figures).is_nil()
      expect(reason:lower()).matches("^control connection with 127.0.0.1:%d+: connection refused")
      figures, reason = traffic.serve { control_port = control, port = port, patience = 0.2,
        native = native }
      expect(figures).is_nil()
      expect(reason).equal("control connection with 1 client(s): not there in time")
      figures, reason = traffic.run { host = "127.0.0.1", workload = "tcp_xy",
        control_port = control, port = port, patience = 0.2, native = native }
      expect(figures).is_nil()
      expect(reason).is_a("string")
      figures, reason = traffic.run { workload = "tcp_rr" }
      expect(reason).equal("host: a node or an address is needed")
    end)

    it("does not keep other threads waiting", function()
      local ticks, going = 0, true
      events.thread(function()
        while going do
          events.sleep(0.05)
          ticks = ticks + 1
        end
      end)
      both { native = native }
      going = false
      expect(ticks).at_least(5)
    end)
  end)
end

describe("traffic between the two engines", function()
  it("speaks the same", function()
    local control, port = free_ports()
    local settings = { control_port = control, port = port, host = "127.0.0.1", patience = 20,
      percentiles = { 50 } }
    local done = {}
    events.thread(function()
      done.figures = traffic.serve(misc.merge({ native = false }, settings))
      events.fire(done)
    end)
    local client = traffic.run(settings)
    if not done.figures then events.wait(done, 30) end
    check_transactions(client, done.figures)
  end)
end)

describe("hooks", function()
  it("run in the worker threads", function()
    local opened, sizes = traffic.collect(0), traffic.collect({})
    local function hooks(S)
      return {
        socket = function(fd, addr)
          opened = opened + 1
          assert(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, 2))
          sizes.priority = S.getsockopt(fd, S.SOL_SOCKET, S.S.c.SO.PRIORITY)
          sizes.family = addr.ai_family == AF_INET
        end,
        recvmsg = function(fd, msg, flags)
          sizes.calls = (sizes.calls or 0) + 1
          return recvmsg(fd, msg, flags)
        end,
      }
    end
    local client, server = both({ native = true },
      { hooks = hooks(traffic.syscalls()), flows = 2, threads = 2 })
    if engine ~= "native" then
      expect(client).matches("^hooks: there are none")
      return
    end
    expect(client).is_a("table")
    expect(server).is_a("table")
    expect(opened).same { 1, 1 }
    for thread = 1, 2 do
      expect(sizes[thread].priority).equal(2)
      expect(sizes[thread].family).is_true()
      expect(sizes[thread].calls).at_least(5)
    end
  end)

  it("reach nothing but their socket", function()
    local S = traffic.syscalls()
    local ok, err = S.setsockopt(1, S.SOL_SOCKET, S.SO_PRIORITY, 1)
    expect(ok).is_nil()
    expect(tostring(err)).equal("Operation not permitted")
    if engine ~= "native" then return end
    local function attempt(hook)
      local client = both({ native = true, patience = 1 }, { hooks = { socket = hook } })
      return client
    end
    expect(attempt(function(fd) assert(getsockopt(fd + 1, SOL_SOCKET, SO_TYPE)) end))
      .matches("^client_socket: .*Operation not permitted$")
    expect(attempt(function() io.open("x") end)).matches("global 'io'")
    expect(attempt(function() os.exit(1) end)).matches("global 'os'")
    expect(attempt(function() loadstring("x = 1") end)).matches("global 'loadstring'")
    local co = coroutine.create(function() end)
    expect(attempt(function() return co end))
      .equal("client hooks: upvalue co: a coroutine cannot be copied")
  end)
end)

describe("tests that other nodes ask for", function()
  local _, port = free_ports()
  local node = { ip = "127.0.0.1", port = port }

  it("make a matrix", function()
    assert(rpc.server(port))
    traffic.start { rpc = rpc }
    local heard = 0
    local matrix = traffic.matrix({ node, node }, { progress = function() heard = heard + 1 end })
    expect(#matrix.entries).equal(2)
    expect(heard).equal(2)
    for _, entry in ipairs(matrix.entries) do
      expect(entry.reason).is_nil()
      expect(entry.latency).at_least(0)
      expect(entry.throughput_Mbps).at_least(0.1)
    end
    local csv = traffic.csv(matrix)
    expect(csv).matches("^from,to,latency_seconds,throughput_Mbps\n1,2,%d+%.%d+,%d+%.%d+\n2,1,")
    for _, what in ipairs { "latency", "bandwidth" } do
      local picture = traffic.heatmap(matrix, what)
      expect(select(2, picture:gsub('class="cell"', ""))).equal(2)
    end
    expect(function() traffic.heatmap(matrix, "colour") end).errors("latency or bandwidth expected")
  end)

  it("load the network until they are stopped", function()
    local load = traffic.load(node, { workload = "udp_stream", rate = 1e6, length = 1 })
    events.sleep(4)
    load:stop()
    expect(load.tests).at_least(1)
    expect(load.reason).is_nil()
    events.sleep(2)
    local tests = load.tests
    events.sleep(3)
    expect(load.tests).equal(tests)
    rpc.stop_server(port)
  end)
end)

test.run()
