--- A server that hears what comes in through one network device and nothing else. The device is
--- that in the environment variable DEVICE; binding to it may take root.
---
---   DEVICE=eth0 splay traffic udp_stream --script bind_to_device.lua

local device = os.getenv("DEVICE") or "lo"
local bound = collect("")

server_socket(function(sockfd)
  assert(setsockopt(sockfd, SOL_SOCKET, SO_BINDTODEVICE, device))
  bound = assert(getsockopt(sockfd, SOL_SOCKET, SO_BINDTODEVICE))
end)

run()

for thread, name in ipairs(bound) do
  io.write(("thread %d: bound to %s\n"):format(thread, name))
end
