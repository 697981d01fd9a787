--- Traffic between nodes, generated and measured: streams, requests and responses, over TCP and
--- UDP. What the network between nodes gives, as a matrix; load beside an experiment.
---
--- A test has two sides. `serve` is one of them, `run` the other; `splay traffic` on a command line
--- is either as well. On a real network they run in threads of their own, at the speed of the
--- machine; in a simulation as threads of the instance, over its sockets. In a testbed's sandbox
--- nothing of it is permitted unless the job was submitted with `traffic_threads`.
---
--- Since: 0.2
local core = require "splay.traffic_core"
local events, misc = require "splay.events", require "splay.misc"

local M = {}

---@class splay.traffic.settings
---@field workload string? tcp_rr (default), tcp_stream, tcp_crr, udp_rr or udp_stream
---@field host string|splay.Node|nil the server; for `serve` the address to listen on
---@field control_port integer? default 12866
---@field port integer? of the data, default 12867; UDP: that of the first thread
---@field flows integer? connections or senders, default 1
---@field threads integer? default 1
---@field clients integer? how many a server waits for, default 1
---@field length number? seconds, default 1; whole ones are counted natively
---@field interval number? seconds between two samples, default 1
---@field percentiles number[]? of latencies to tell
---@field request_size integer? bytes, default 1
---@field response_size integer? bytes, default 1
---@field buffer_size integer? the most that is read or written at once, bytes
---@field rate number? bits a second that a flow of a stream sends at most
---@field patience number? seconds after which a side gives up waiting for the other, default 30
---@field hooks table? functions by the names socket, close, sendmsg, recvmsg, recverr
---@field native boolean? false: over the instance's own sockets

--- The figures of one side, by the names that `splay traffic` prints: num_transactions, throughput
--- (transactions a second), latency_min, latency_mean, latency_p50 ... (seconds), throughput_Mbps.
---@class splay.traffic.figures
---@field throughput number?
---@field throughput_Mbps number?
---@field num_transactions integer?
---@field latency_mean number?
---@field sent_bytes integer
---@field received_bytes integer

local wrappers = setmetatable({}, { __mode = "k" })
local names, syscalls

--- What hooks know, for programs that mention it: `S` in the manner of ljsyscall, calls and
--- constants under their C names. Outside a hook each call answers that it is not permitted.
---
--- ```lua
--- local S = traffic.syscalls()
--- S.SOL_SOCKET  --> 1
--- S.setsockopt(3, S.SOL_SOCKET, S.SO_PRIORITY, 1)  --> nil, ...
--- ```
---@return table
function M.syscalls()
  if not syscalls then
    local made = {}
    names, syscalls = core.syscalls(made), made
  end
  return syscalls
end

--- How tests are done here: `native`, in threads of their own, or `cooperative`, where time is
--- virtual.
---
--- `traffic.engine()  --> "cooperative"`
---
--- Errors: `nil, "Operation not permitted"` without a grant.
---@return string? engine
---@return string? reason
function M.engine() return core.engine() end

--- Marks a variable of a hook whose values are wanted after the test. Hooks see the value itself,
--- each worker thread its own; afterwards the table that is returned here holds one for each.
---
--- `traffic.collect(0)  --> { 0 }`
---@param value any
---@return table
function M.collect(value)
  local wrapper = { value }
  wrappers[wrapper] = true
  return wrapper
end

--- Settings as the engines take them, or nil and what is wrong.
local function prepared(settings, client)
  local made = misc.merge({}, settings)
  made.workload, made.client = made.workload or "tcp_rr", client
  made.hooks, made.native = nil, nil
  local host = made.host
  if type(host) == "table" then host = host.ip end
  if client and type(host) ~= "string" then return nil, "host: a node or an address is needed" end
  if client then
    local socket = require "socket.core"
    local address, err = socket.dns.toip(host)
    if not address then return nil, err end
    host = address
  end
  made.host = host
  if made.rate then
    local size = made.buffer_size or (made.workload == "tcp_stream" and 16384 or 1400)
    made.buffer_size = size
    if made.workload == "tcp_stream" then made.pacing = made.rate / 8 end
    if made.workload == "udp_stream" then made.delay = size * 8 / made.rate end
  end
  return made
end

local function carry_out(settings, client)
  local engine, refused = core.engine()
  if not engine then return nil, refused end
  local made, err = prepared(settings or {}, client)
  if not made then return nil, err end
  if engine ~= "native" or settings.native == false then
    if settings.hooks then return nil, "hooks: there are none over the instance's own sockets" end
    return require("splay.traffic_flows")[client and "run" or "serve"](made)
  end
  local hooks, marks
  if settings.hooks then
    M.syscalls()
    hooks, marks = settings.hooks, setmetatable({}, { __index = wrappers })
    for wrapper in pairs(wrappers) do marks[wrapper] = true end
  end
  local figures, collected = core.test(made, hooks, names, marks)
  if not figures then return nil, collected end
  for n, wrapper in ipairs(marks and rawget(marks, "met") or {}) do
    for thread, values in pairs(collected) do wrapper[thread] = values[n] end
  end
  return figures
end

--- Does a test as the client and waits until it is over.
---
--- ```lua
--- events.thread(function() traffic.serve { patience = 5 } end)
--- local figures = traffic.run { host = "127.0.0.1", length = 1, percentiles = { 50 } }
--- figures.throughput > 1  --> true
--- figures.latency_p50 <= figures.latency_max  --> true
--- ```
---
--- Errors: `nil` and the reason; `nil, "Operation not permitted"` without a grant; `nil,
--- "restricted"` at the limits of the job.
---@async
---@param settings splay.traffic.settings
---@return splay.traffic.figures? figures
---@return string? reason
function M.run(settings) return carry_out(settings, true) end

--- Is the server of one test and waits until all its clients have finished.
---
--- `traffic.serve { patience = 0.1 }  --> nil, ...`
---
--- Errors: as for `run`.
---@async
---@param settings splay.traffic.settings?
---@return splay.traffic.figures? figures
---@return string? reason
function M.serve(settings) return carry_out(settings or {}, false) end

-- Tests that other nodes ask for ---------------------------------------------------------------

local offered -- how this node takes part: { rpc =, me =, ports = }
local serving, tokens = {}, 0

--- Ports for one test: of those that were given, or any that are free.
local function two_ports()
  if offered.ports then return offered.ports[1], offered.ports[2] end
  local socket = require "socket.core"
  local found, held = {}, {}
  for n = 1, 2 do
    local listener = assert(socket.tcp())
    assert(listener:bind("*", 0))
    held[n], found[n] = listener, tonumber((select(2, listener:getsockname())))
  end
  for _, listener in ipairs(held) do listener:close() end
  return found[1], found[2]
end

--- What other nodes call by the global `splay_traffic`.
local remote = {}

function remote.serve(settings)
  local ok, control, port = pcall(two_ports)
  if not ok then return nil, control end
  tokens = tokens + 1
  local token, result = tokens, {}
  serving[token] = result
  settings = misc.merge(settings, { host = "*" })
  settings.host, settings.control_port, settings.port = nil, control, port
  events.thread(function()
    result.figures, result.reason = M.serve(settings)
    result.over = true
    events.fire(result)
  end)
  return { token = token, control_port = control, port = port }
end

function remote.result(token)
  local result = serving[token]
  if not result then return nil, "no such test" end
  if not result.over then events.wait(result, 60) end
  serving[token] = nil
  return result.figures, result.reason
end

function remote.run(node, settings)
  local rpc = offered.rpc
  local told, err = rpc.call(node, { "splay_traffic.serve", settings }, 10)
  if type(told) ~= "table" then return nil, err or "the node does not take part" end
  settings = misc.merge({}, settings)
  settings.host, settings.control_port, settings.port = node, told.control_port, told.port
  local figures, reason = M.run(settings)
  if not figures then return nil, reason end
  local other = rpc.call(node, { "splay_traffic.result", told.token }, 30)
  return { client = figures, server = other }
end

---@class splay.traffic.part
---@field rpc table the module to call with
---@field ports integer[]? two ports to use where a job may bind no others: control and data

--- Has this node take part in tests that other nodes ask for, over remote calls. The program serves
--- them itself (`rpc.server`).
---
--- ```lua
--- rpc.server(job.me.port)
--- traffic.start { rpc = rpc }
--- ```
---@param settings splay.traffic.part
function M.start(settings)
  offered = { rpc = settings.rpc, ports = settings.ports }
  rawset(_G, "splay_traffic", remote)
end

--- Does a test with another node that takes part, this one as the client.
---
--- ```lua not run: another node is needed
--- local figures = traffic.test(job.nodes[2], { workload = "tcp_stream", length = 5 })
--- figures.server.throughput_Mbps  --> such as 94.1
--- ```
---
--- Errors: as for `run`, and those of the remote call. Raises before `start`.
---@async
---@param node splay.Node
---@param settings splay.traffic.settings
---@return { client: splay.traffic.figures, server: splay.traffic.figures? }? figures of both sides
---@return string? reason
function M.test(node, settings)
  if not offered then error("traffic.start was not called", 2) end
  return remote.run(node, settings)
end

--- Load beside an experiment: a stream to a node that takes part, until it is stopped.
---
--- ```lua not run: another node is needed
--- local load = traffic.load(job.nodes[2], { workload = "udp_stream", rate = 1e6 })
--- events.sleep(10)
--- load:stop()
--- ```
---@param node splay.Node
---@param settings splay.traffic.settings? workload: default tcp_stream; length: of each of the
--- tests that follow each other, default 10
---@return { stop: fun(self: table), tests: integer, reason: string? } load
function M.load(node, settings)
  if not offered then error("traffic.start was not called", 2) end
  settings = misc.merge({}, settings or {})
  settings.workload, settings.length = settings.workload or "tcp_stream", settings.length or 10
  local load, control = { tests = 0 }, {}
  settings.control = control
  local thread = events.thread(function()
    while not control.stopped do
      local figures, reason = remote.run(node, settings)
      if figures then
        load.tests, load.figures = load.tests + 1, figures
      else
        load.reason = reason
        events.sleep(1)
      end
    end
  end)
  function load.stop()
    control.stopped = true
    -- A test in threads of its own ends with whoever waits for it.
    if core.engine() == "native" then events.kill(thread) end
  end
  return load
end

-- The matrix -----------------------------------------------------------------------------------

---@class splay.traffic.entry
---@field from integer position of the node that sends
---@field to integer position of the one that receives
---@field latency number? time there and back, mean, seconds
---@field throughput_Mbps number? 10^6 bits a second that arrive
---@field reason string? why there are no figures

---@class splay.traffic.matrix
---@field nodes splay.Node[]
---@field entries splay.traffic.entry[]

---@class splay.traffic.measuring
---@field length number? seconds of each test, default 1
---@field bandwidth boolean? false: the latency alone
---@field rr string? workload for the latency, default tcp_rr
---@field stream string? workload for the bandwidth, default tcp_stream
---@field rate number? bits a second that the stream sends at most
---@field progress fun(entry: splay.traffic.entry)? hears every entry

--- Measures from every node to every other, one pair after the other: the latency with tcp_rr, then
--- the bandwidth with tcp_stream. All nodes take part (`start`).
---
--- ```lua not run: other nodes are needed
--- local matrix = traffic.matrix(job.nodes, { length = 1 })
--- io.open("matrix.svg", "w"):write(traffic.heatmap(matrix, "latency")):close()
--- ```
---@async
---@param nodes splay.Node[]
---@param settings splay.traffic.measuring?
---@return splay.traffic.matrix
function M.matrix(nodes, settings)
  if not offered then error("traffic.start was not called", 2) end
  settings = settings or {}
  local matrix = { nodes = nodes, entries = {} }
  local length = settings.length or 1
  local function ask(from, to, test)
    local both, reason = offered.rpc.call(from, { "splay_traffic.run", to, test }, length + 60)
    if type(both) ~= "table" then return nil, reason or "no answer" end
    return both
  end
  for i, from in ipairs(nodes) do
    for j, to in ipairs(nodes) do
      if i ~= j then
        local entry = { from = i, to = j }
        local both, reason = ask(from, to, { workload = settings.rr or "tcp_rr", length = length })
        if both then entry.latency = both.client.latency_mean else entry.reason = reason end
        if both and settings.bandwidth ~= false then
          both, reason = ask(from, to, { workload = settings.stream or "tcp_stream",
            length = length, rate = settings.rate })
          entry.throughput_Mbps = both and both.server and both.server.throughput_Mbps
          entry.reason = reason
        end
        matrix.entries[#matrix.entries + 1] = entry
        if settings.progress then settings.progress(entry) end
      end
    end
  end
  return matrix
end

--- The matrix as CSV: from,to,latency_seconds,throughput_Mbps.
---
--- ```lua
--- local matrix = { nodes = job.nodes, entries = { { from = 1, to = 2, latency = 0.04 } } }
--- traffic.csv(matrix)  --> "from,to,latency_seconds,throughput_Mbps\n1,2,0.040000,\n"
--- ```
---@param matrix splay.traffic.matrix
---@return string
function M.csv(matrix)
  local lines = { "from,to,latency_seconds,throughput_Mbps" }
  for _, entry in ipairs(matrix.entries) do
    lines[#lines + 1] = ("%d,%d,%s,%s"):format(entry.from, entry.to,
      entry.latency and ("%.6f"):format(entry.latency) or "",
      entry.throughput_Mbps and ("%.3f"):format(entry.throughput_Mbps) or "")
  end
  return table.concat(lines, "\n") .. "\n"
end

local fields = {
  latency = { name = "latency", unit = "ms", scale = 1e3, title = "Latency, there and back (ms)" },
  bandwidth = { name = "throughput_Mbps", unit = "Mbit/s", scale = 1,
    title = "Bandwidth (Mbit/s)" },
}

local function short(value)
  if value >= 100 then return ("%.0f"):format(value) end
  return value >= 10 and ("%.1f"):format(value) or ("%.2f"):format(value)
end

--- The matrix as a picture (SVG): a row for each sender, a column for each receiver, the darker the
--- more.
---
--- ```lua
--- local matrix = { nodes = job.nodes, entries = { { from = 1, to = 2, latency = 0.04 } } }
--- traffic.heatmap(matrix, "latency"):match("^<svg") ~= nil  --> true
--- ```
---@param matrix splay.traffic.matrix
---@param what string latency or bandwidth
---@return string
function M.heatmap(matrix, what)
  local field = fields[what]
  if not field then error("bad argument #2 to 'heatmap' (latency or bandwidth expected)", 2) end
  local n = #matrix.nodes
  local cell = math.max(6, math.min(48, math.floor(720 / math.max(n, 1))))
  local left, top = 56, 56
  local width, height = left + n * cell + 16, top + n * cell + 40
  local least, most = math.huge, -math.huge
  for _, entry in ipairs(matrix.entries) do
    local value = entry[field.name]
    if value then least, most = math.min(least, value), math.max(most, value) end
  end
  local out = {
    ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
      .. 'font-family="sans-serif" font-size="11">'):format(width, height, width, height),
    ("<title>%s</title>"):format(field.title),
    ('<rect width="%d" height="%d" fill="#ffffff"/>'):format(width, height),
    ('<text x="%d" y="20" font-size="14">%s</text>'):format(left, field.title),
    ('<text x="%d" y="%d">from (rows) to (columns)</text>'):format(left, height - 12),
  }
  local function put(line, ...) out[#out + 1] = line:format(...) end
  local step = math.max(1, math.ceil(14 / cell))
  for i = 1, n, step do
    put('<text x="%d" y="%d" text-anchor="middle">%d</text>', left + (i - 0.5) * cell, top - 6, i)
    put('<text x="%d" y="%d" text-anchor="end">%d</text>', left - 6, top + (i - 0.5) * cell + 4, i)
  end
  for _, entry in ipairs(matrix.entries) do
    local value = entry[field.name]
    local x, y = left + (entry.to - 1) * cell, top + (entry.from - 1) * cell
    local share = value and (most > least and (value - least) / (most - least) or 0.5)
    local colour = "#eeeeee"
    if share then
      colour = ("#%02x%02x%02x"):format(247 - 239 * share, 251 - 203 * share, 255 - 148 * share)
    end
    put('<rect class="cell" x="%d" y="%d" width="%d" height="%d" fill="%s">'
      .. "<title>%d to %d: %s</title></rect>",
      x, y, cell, cell, colour, entry.from, entry.to,
      value and short(value * field.scale) .. " " .. field.unit or "no figure")
    if value and cell >= 32 then
      put('<text x="%.1f" y="%.1f" text-anchor="middle" font-size="10" fill="%s">%s</text>',
        x + cell / 2, y + cell / 2 + 4, share > 0.55 and "#ffffff" or "#222222",
        short(value * field.scale))
    end
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end

return M
