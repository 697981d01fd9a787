-- What the network between the nodes gives: from every node to every other, one pair after the
-- other, the time there and back (tcp_rr) and the bandwidth (tcp_stream).
--
-- Run:    splay run apps/traffic_matrix.lua -n 4
--    or:  splay sim apps/traffic_matrix.lua -n 9 --topology star:n=9,latency=20ms,bandwidth=10Mbps
-- Parameters: length=1 (seconds of each test), out= (the beginning of names of files to write:
--    OUT.csv, OUT-latency.svg, OUT-bandwidth.svg), latency=0 (seconds there and back), bandwidth=0
--    (Mbit/s): what is expected of every pair; 0: anything, stay.
-- Prints: `matrix correct: 4 nodes, 12 pairs, slowest 1 to 3 with 0.1 ms and 9000.0 Mbit/s` or
--    `matrix wrong: reason`, once, on the first node; then all end.
-- Proves: every pair was measured, and differs from what was expected by a quarter at most.
require "splay.base"
local cli, proof, traffic = require "splay.cli", require "splay.proof", require "splay.traffic"
local rpc = require "splay.rpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters { length = 1, out = "", latency = 0, bandwidth = 0, stay = false }

local function write(name, text)
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
end

-- What is wrong with an entry, if anything.
local function wrong(entry)
  if entry.reason then return entry.reason end
  for name, expected in pairs { latency = p.latency, throughput_Mbps = p.bandwidth } do
    local found = entry[name]
    if not found then return "no " .. name end
    if expected > 0 and math.abs(found - expected) > expected / 4 then
      return ("%s is %g, not %g"):format(name, found, expected)
    end
  end
end

local function property()
  local alive, silent = proof.alive(rpc)
  if not alive then return nil, silent end
  local matrix, slowest = traffic.matrix(job.nodes, { length = p.length }), nil
  for _, entry in ipairs(matrix.entries) do
    local reason = wrong(entry)
    if reason then return nil, ("from %d to %d: %s"):format(entry.from, entry.to, reason) end
    if not slowest or entry.latency > slowest.latency then slowest = entry end
  end
  if p.out ~= "" then
    write(p.out .. ".csv", traffic.csv(matrix))
    write(p.out .. "-latency.svg", traffic.heatmap(matrix, "latency"))
    write(p.out .. "-bandwidth.svg", traffic.heatmap(matrix, "bandwidth"))
  end
  local text = ("%d nodes, %d pairs"):format(#job.nodes, #matrix.entries)
  if slowest then
    text = ("%s, slowest %d to %d with %.1f ms and %.1f Mbit/s"):format(text, slowest.from,
      slowest.to, slowest.latency * 1e3, slowest.throughput_Mbps)
  end
  return true, text
end

events.run(function()
  assert(rpc.server(job.me.port))
  traffic.start { rpc = rpc }
  local pairs_of_nodes = #job.nodes * (#job.nodes - 1)
  proof.judge { what = "matrix", rpc = rpc, property = property, stay = p.stay,
    limit = 60 + pairs_of_nodes * 2 * (p.length + 1) }
end)
