require "splay.base"
local etcd, patterns = require "splay.etcd", require "splay.etcd.patterns"

events.run(function()
  local store = { ip = job.nodes[1].ip, port = job.nodes[1].port + 1000 }
  if job.position == 1 then assert(etcd.serve(store)) end
  local client = etcd.new { host = ("http://%s:%d"):format(store.ip, store.port), failover = false }
  while not client:get("/") do events.sleep(0.1) end -- it may start after this instance

  assert(patterns.barrier(client, "/start", #job.nodes, 30))
  local election = patterns.election(client, "/leader", { value = job.position, ttl = 2 })
  local term = assert(election:campaign(30))
  local count = patterns.counter(client, "/terms"):add()
  print(("leader number %d"):format(count))
  events.sleep(0.3)
  print("still leading: " .. tostring(election:leads()))

  if job.position > 1 and count % 2 == 0 then os.exit(0) end -- without a word
  election:resign()
  if job.position == 1 then
    while patterns.counter(client, "/terms"):get() < #job.nodes do events.sleep(0.5) end
    events.sleep(1)
  end
  os.exit(0)
end)
