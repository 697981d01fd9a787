-- A program as they were written for the SPLAY of 2009.
require"splay.base"
rpc = require"splay.rpc"

if not job then -- run by hand: position, number of nodes
  local utils = require"splay.utils"
  job = utils.generate_job(tonumber(arg[1]), tonumber(arg[2]), 9001)
end

function count_words(text)
  local n = 0
  for word in string.gfind(text, "%w+") do n = n + 1 end
  return n
end

function add_all(...)
  local sum = 0
  for i = 1, table.getn(arg) do sum = sum + arg[i] end
  return sum
end

function test()
  local peer = job.nodes[1]
  local ok, res = rpc.a_call(peer, {"count_words", "the quick brown fox"})
  if ok then log:print("words: "..res[1]) else log:print("failed: "..res) end
  log:print("sum: "..tostring(rpc.call(peer, {"add_all", 1, 2, 3})))
  log:print("2^16 is "..2^16)
  events.sleep(1)
  events.exit()
end

rpc.server(job.me.port)
events.thread(function()
  events.sleep(0.5)
  if job.position == 2 then test() else events.sleep(3) os.exit() end
end)
events.loop()
