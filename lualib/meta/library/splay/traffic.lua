---@meta splay.traffic
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

---@class splay.traffic.part
---@field rpc table the module to call with
---@field ports integer[]? two ports to use where a job may bind no others: control and data

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

---@class splay.traffic
local M = {}

--- What hooks know, for programs that mention it: `S` in the manner of ljsyscall, calls and
--- constants under their C names. Outside a hook each call answers that it is not permitted.
---
--- ```lua
--- local S = traffic.syscalls()
--- S.SOL_SOCKET  --> 1
--- S.setsockopt(3, S.SOL_SOCKET, S.SO_PRIORITY, 1)  --> nil, ...
--- ```
---@return table
function M.syscalls() end

--- How tests are done here: `native`, in threads of their own, or `cooperative`, where time is
--- virtual.
---
--- `traffic.engine()  --> "cooperative"`
---
--- Errors: `nil, "Operation not permitted"` without a grant.
---@return string? engine
---@return string? reason
function M.engine() end

--- Marks a variable of a hook whose values are wanted after the test. Hooks see the value itself,
--- each worker thread its own; afterwards the table that is returned here holds one for each.
---
--- `traffic.collect(0)  --> { 0 }`
---@param value any
---@return table
function M.collect(value) end

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
function M.run(settings) end

--- Is the server of one test and waits until all its clients have finished.
---
--- `traffic.serve { patience = 0.1 }  --> nil, ...`
---
--- Errors: as for `run`.
---@async
---@param settings splay.traffic.settings?
---@return splay.traffic.figures? figures
---@return string? reason
function M.serve(settings) end

--- Has this node take part in tests that other nodes ask for, over remote calls. The program serves
--- them itself (`rpc.server`).
---
--- ```lua
--- rpc.server(job.me.port)
--- traffic.start { rpc = rpc }
--- ```
---@param settings splay.traffic.part
function M.start(settings) end

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
function M.test(node, settings) end

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
function M.load(node, settings) end

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
function M.matrix(nodes, settings) end

--- The matrix as CSV: from,to,latency_seconds,throughput_Mbps.
---
--- ```lua
--- local matrix = { nodes = job.nodes, entries = { { from = 1, to = 2, latency = 0.04 } } }
--- traffic.csv(matrix)  --> "from,to,latency_seconds,throughput_Mbps\n1,2,0.040000,\n"
--- ```
---@param matrix splay.traffic.matrix
---@return string
function M.csv(matrix) end

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
function M.heatmap(matrix, what) end

return M
