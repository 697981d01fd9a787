--- Values that come home from the worker threads. Each thread has its own copies of the variables
--- that its hooks use; after `run()` a collected one is an array of them, in the order of threads.
---
---   splay traffic tcp_rr --script collect_values.lua
---   splay traffic tcp_rr -c -H HOST -T 2 -F 4 --script collect_values.lua

local sockets = collect({})
local counts = { opened = collect(0), closed = collect(0) }

local function opened(sockfd)
  sockets[#sockets + 1] = sockfd
  counts.opened = counts.opened + 1
end

local function closed() counts.closed = counts.closed + 1 end

client_socket(opened)
server_socket(opened)
client_close(closed)
server_close(closed)

run()

for thread, descriptors in ipairs(sockets) do
  io.write(("thread %d: sockets %s, %d opened, %d closed\n"):format(thread,
    table.concat(descriptors, " "), counts.opened[thread], counts.closed[thread]))
end
