--- How many datagrams a server's sockets had no room for: the kernel says so in a control message
--- with the next one that it does deliver.
---
---   splay traffic udp_stream --script drop_count.lua
---   splay traffic udp_stream -c -H HOST

local received, dropped = collect(0), collect(0)

server_socket(function(sockfd)
  assert(setsockopt(sockfd, SOL_SOCKET, SO_RXQ_OVFL, 1))
end)

server_recvmsg(function(sockfd, msg, flags)
  local count, err = recvmsg(sockfd, msg, flags)
  if not count then return count, err end
  received = received + 1
  local cmsg = msg:cmsg_firsthdr()
  while cmsg do
    if cmsg.cmsg_level == SOL_SOCKET and cmsg.cmsg_type == SO_RXQ_OVFL then
      -- From the socket's beginning on.
      dropped = uint32_ptr(cmsg.cmsg_data)[0]
    end
    cmsg = msg:cmsg_nxthdr(cmsg)
  end
  return count
end)

run()

local all, lost = 0, 0
for thread = 1, #received do
  all, lost = all + received[thread], lost + dropped[thread]
end
io.write(("received %d, dropped %d\n"):format(all, lost))
