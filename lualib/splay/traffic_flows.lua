--- Tests over the instance's own sockets, each flow a thread: for networks in memory. The same two
--- sides and the same control connection as the native engine's, so that one may meet the other.
---
--- Loaded by `splay.traffic`.
local socket = require "socket.core"
local events = require "splay.events"

local M = {}

local SECRET = "neper control port secret\0"
local MAGIC = string.char(0, 0, 0, 42)

--- Bits a second that datagrams are sent at where no rate is given: sending one takes no time in a
--- network in memory, and a sender that never waits would never end.
local DATAGRAM_RATE = 100e6

local function bind(settings, port)
  local listener = assert(socket.tcp())
  listener:setoption("reuseaddr", true)
  assert(listener:bind(settings.host or "*", port))
  assert(listener:listen(128))
  return listener
end

--- What one side counts.
local function counter(settings)
  return { settings = settings, received = 0, sent = 0, transactions = 0, timeouts = 0,
    latencies = {}, flows = {} }
end

local function counted(count, flow, bytes, transactions)
  local now = socket.gettime()
  count.received = count.received + bytes
  count.transactions = count.transactions + transactions
  -- The first piece begins the time; what it holds came before.
  if not flow.first then
    flow.first, flow.base = now, { bytes, transactions }
    flow.bytes, flow.transactions = 0, 0
  else
    flow.bytes, flow.transactions = flow.bytes + bytes, flow.transactions + transactions
  end
  flow.last = now
end

local function new_flow(count)
  local flow = {}
  count.flows[#count.flows + 1] = flow
  return flow
end

local function rate(count, field)
  local sum = 0
  for _, flow in ipairs(count.flows) do
    local time = flow.first and flow.last - flow.first or 0
    if time > 0 then sum = sum + flow[field] / time end
  end
  return sum
end

--- The figures, by the names of the native engine's.
local function figures(count)
  local settings = count.settings
  local made = { sent_bytes = count.sent, received_bytes = count.received,
    total_run_time = settings.length or 1 }
  if settings.workload:find("stream") then
    if not settings.client or settings.workload == "udp_stream" then
      made.throughput_Mbps = rate(count, "bytes") * 8 / 1e6
    end
    return made
  end
  made.num_transactions, made.throughput = count.transactions, rate(count, "transactions")
  if settings.workload == "udp_rr" and settings.client then made.timeouts = count.timeouts end
  local list = count.latencies
  if #list > 0 then
    table.sort(list)
    local sum, squares = 0, 0
    for _, value in ipairs(list) do sum = sum + value end
    local mean = sum / #list
    for _, value in ipairs(list) do squares = squares + (value - mean) ^ 2 end
    made.latency_min, made.latency_max, made.latency_mean = list[1], list[#list], mean
    made.latency_stddev = math.sqrt(squares / #list)
    for _, percentile in ipairs(settings.percentiles or {}) do
      local rank = math.max(1, math.ceil(percentile / 100 * #list))
      made["latency_p" .. tostring(percentile)] = list[rank]
    end
  end
  return made
end

-- A server's flows -----------------------------------------------------------------------------

local function serve_stream(count, connection)
  local flow = new_flow(count)
  local size = count.settings.buffer_size or 16384
  while true do
    local data, err, rest = connection:receive(size)
    data = data or rest
    if data and #data > 0 then counted(count, flow, #data, 0) end
    if err then break end
  end
  connection:close()
end

local function serve_requests(count, connection, flow)
  local settings = count.settings
  local response = ("\0"):rep(settings.response_size or 1)
  connection:setoption("tcp-nodelay", true)
  flow = flow or new_flow(count)
  while true do
    local data = connection:receive(settings.request_size or 1)
    if not data then break end
    counted(count, flow, #data, 1)
    if not connection:send(response) then break end
    count.sent = count.sent + #response
  end
  connection:close()
end

local function serve_datagrams(count, from)
  local response = ("\0"):rep(count.settings.response_size or 1)
  local answers = count.settings.workload == "udp_rr"
  local flow = new_flow(count)
  while true do
    local data, ip, port = from:receivefrom()
    if not data then return end
    counted(count, flow, #data, 1)
    if answers and from:sendto(response, ip, port) then count.sent = count.sent + #response end
  end
end

--- Accepts for ever, each connection in a thread.
local function accept(listener, threads, serve)
  while true do
    local connection = listener:accept()
    if not connection then return end
    threads[#threads + 1] = events.thread(function() serve(connection) end)
  end
end

--- Serves control connections until all clients have finished, or none came in time.
local function control(settings, listener)
  local wanted, come, finished, over = settings.clients or 1, 0, 0, {}
  local threads = {}
  threads[1] = events.thread(function()
    accept(listener, threads, function(guest)
      if come >= wanted or guest:receive(#SECRET) ~= SECRET then return guest:close() end
      come = come + 1
      guest:send(MAGIC)
      guest:receive(#MAGIC)
      guest:close()
      finished = finished + 1
      if finished == wanted then events.fire(over) end
    end)
  end)
  local patience, ok = settings.patience or 30, true
  if patience > 0 then
    ok = events.wait(over, patience)
    -- Those who are there have all the time they need.
    if not ok and come == wanted then
      ok = finished == wanted or events.wait(over, (settings.length or 1) + 600)
    end
  else
    events.wait(over)
  end
  for _, thread in ipairs(threads) do events.kill(thread) end
  return ok
end

--- Is the server of one test.
function M.serve(settings)
  local count, threads, sockets = counter(settings), {}, {}
  local workload = settings.workload
  local port = settings.port or 12867
  local ok, err = pcall(function()
    sockets[1] = bind(settings, settings.control_port or 12866)
    if workload:find("^udp") then
      local from = assert(socket.udp())
      sockets[2] = from
      assert(from:setsockname(settings.host or "*", port))
      threads[1] = events.thread(function() serve_datagrams(count, from) end)
      return
    end
    sockets[2] = bind(settings, port)
    local shared = workload == "tcp_crr" and new_flow(count) or nil
    threads[1] = events.thread(function()
      accept(sockets[2], threads, function(connection)
        if workload == "tcp_stream" then return serve_stream(count, connection) end
        serve_requests(count, connection, shared)
      end)
    end)
  end)
  local done = ok and control(settings, sockets[1])
  for _, thread in ipairs(threads) do events.kill(thread) end
  for _, one in ipairs(sockets) do one:close() end
  if not ok then return nil, (tostring(err):gsub("^.-:%d+: ", "")) end
  if not done then return nil, "control connection with 1 client(s): not there in time" end
  return figures(count)
end

-- A client's flows -----------------------------------------------------------------------------

local function connect(settings)
  local connection = assert(socket.tcp())
  connection:settimeout(10)
  local ok, err = connection:connect(settings.host, settings.port or 12867)
  if not ok then
    connection:close()
    return nil, "connect " .. settings.host .. ": " .. err
  end
  connection:settimeout(nil)
  connection:setoption("tcp-nodelay", true)
  return connection
end

--- Whether a flow goes on: its time is not over, and nobody has stopped it.
local function goes_on(settings, ends)
  return socket.gettime() < ends and not (settings.control and settings.control.stopped)
end

local function pause(settings, bytes, default)
  local speed = settings.rate or default
  if speed then events.sleep(bytes * 8 / speed) end
end

local flows = {}

function flows.tcp_stream(count, settings, ends)
  local connection, err = connect(settings)
  if not connection then return err end
  local data = ("\0"):rep(settings.buffer_size or 16384)
  while goes_on(settings, ends) do
    local sent, reason, part = connection:send(data)
    count.sent = count.sent + (sent or part or 0)
    if not sent then
      connection:close()
      return "write: " .. reason
    end
    pause(settings, #data)
  end
  connection:close()
end

--- One transaction after the other; `once` does one and tells the bytes that came, or why not.
local function transactions(count, ends, once)
  local flow = new_flow(count)
  flow.first, flow.last, flow.bytes, flow.transactions = socket.gettime(), nil, 0, 0
  flow.last = flow.first
  while goes_on(count.settings, ends) do
    local began = socket.gettime()
    local bytes, err = once()
    if not bytes then return err end
    if bytes > 0 then
      counted(count, flow, bytes, 1)
      count.latencies[#count.latencies + 1] = flow.last - began
    end
  end
end

local function exchange(count, settings, connection)
  local request = ("\0"):rep(settings.request_size or 1)
  local sent, err = connection:send(request)
  if not sent then return nil, "write: " .. err end
  count.sent = count.sent + #request
  local data, reason = connection:receive(settings.response_size or 1)
  if not data then return nil, "read: " .. reason end
  return #data
end

function flows.tcp_rr(count, settings, ends)
  local connection, err = connect(settings)
  if not connection then return err end
  local failed = transactions(count, ends, function()
    return exchange(count, settings, connection)
  end)
  connection:close()
  return failed
end

function flows.tcp_crr(count, settings, ends)
  return transactions(count, ends, function()
    local connection, err = connect(settings)
    if not connection then return nil, err end
    local bytes, reason = exchange(count, settings, connection)
    -- Closed by a reset: otherwise each connection would keep its port for a minute.
    connection:setoption("linger", { on = true, timeout = 0 })
    connection:close()
    return bytes, reason
  end)
end

local function udp(settings)
  local to = assert(socket.udp())
  local ok, err = to:setpeername(settings.host, settings.port or 12867)
  if not ok then return nil, err end
  return to
end

function flows.udp_stream(count, settings, ends)
  local to, err = udp(settings)
  if not to then return err end
  local data, flow = ("\0"):rep(settings.buffer_size or 1400), new_flow(count)
  while goes_on(settings, ends) do
    if to:send(data) then
      count.sent = count.sent + #data
      -- What was sent is this side's figure.
      counted(count, flow, #data, 0)
      count.received = count.received - #data
    end
    pause(settings, #data, DATAGRAM_RATE)
  end
  to:close()
end

function flows.udp_rr(count, settings, ends)
  local to, err = udp(settings)
  if not to then return err end
  -- What has not been answered by then is lost.
  to:settimeout(1)
  local request = ("\0"):rep(settings.request_size or 1)
  local failed = transactions(count, ends, function()
    to:send(request)
    count.sent = count.sent + #request
    local data = to:receive()
    if data then return #data end
    count.timeouts = count.timeouts + 1
    return 0
  end)
  to:close()
  return failed
end

--- Connects to the server's control port, trying for a while.
local function control_connection(settings)
  local port = settings.control_port or 12866
  local peer = ("control connection with %s:%d: "):format(settings.host, port)
  local patience = settings.patience or 30
  local give_up = socket.gettime() + (patience > 0 and patience or 30)
  while true do
    local connection = assert(socket.tcp())
    connection:settimeout(10)
    local ok, err = connection:connect(settings.host, port)
    if ok then
      connection:send(SECRET)
      local magic = connection:receive(#MAGIC)
      if magic == MAGIC then return connection end
      connection:close()
      return nil, peer .. (magic and "magic mismatch" or "the server hung up")
    end
    connection:close()
    if socket.gettime() >= give_up then return nil, peer .. err end
    events.sleep(0.1)
  end
end

--- Does a test as the client.
function M.run(settings)
  local flow = flows[settings.workload]
  if not flow then return nil, ("workload: there is no `%s`"):format(settings.workload) end
  local connection, err = control_connection(settings)
  if not connection then return nil, err end
  local count, threads, failed = counter(settings), {}, nil
  local running, over = settings.flows or 1, {}
  local ends = socket.gettime() + (settings.length or 1)
  for n = 1, running do
    threads[n] = events.thread(function()
      local reason = flow(count, settings, ends)
      failed, running = failed or reason, running - 1
      if running == 0 then events.fire(over) end
    end)
  end
  events.wait(over)
  connection:send(MAGIC)
  connection:close()
  if failed then return nil, failed end
  return figures(count)
end

return M
