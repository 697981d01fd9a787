--- Looks at where every datagram comes from, and ends the server when one does not come from the
--- loopback address.
---
---   splay traffic udp_stream -4 --script check_src_addr.lua
---   splay traffic udp_stream -4 -c -H 127.0.0.1

local checked = collect(0)

server_socket(function(_, addr)
  assert(addr.ai_family == AF_INET, "run the server with -4")
end)

server_recvmsg(function(sockfd, msg, flags)
  local source = sockaddr_in()
  local part = msg.msg_iov[0]
  local count, err = recvfrom(sockfd, part.iov_base, part.iov_len, flags, source)
  if not count then return count, err end
  if source.sin_addr.s_addr ~= in_addr("127.0.0.1").s_addr then
    io.stderr:write(("a datagram came from %s\n"):format(tostring(source.sin_addr)))
    os.exit(1)
  end
  checked = checked + 1
  return count
end)

run()

for thread, count in ipairs(checked) do
  io.write(("thread %d: %d sources checked\n"):format(thread, count))
end
