--- A histogram of the time between acknowledgements that a stream gets: the kernel notes when the
--- last byte of each write was acknowledged and puts that on the socket's error queue.
---
---   splay traffic tcp_stream
---   splay traffic tcp_stream -c -H HOST --script tcp_ack_interval.lua

-- Counts by powers of two microseconds.
local histogram = collect({})
local last = nil
local noted = collect(0)

client_socket(function(sockfd)
  local flags = bit.bor(SOF_TIMESTAMPING_SOFTWARE, SOF_TIMESTAMPING_TX_ACK,
    SOF_TIMESTAMPING_OPT_TSONLY)
  assert(setsockopt(sockfd, SOL_SOCKET, SO_TIMESTAMPING, flags))
end)

client_recverr(function(sockfd, msg, flags)
  local count, err = recvmsg(sockfd, msg, bit.bor(flags, MSG_ERRQUEUE))
  if not count then return count, err end
  for _, cmsg in msg:cmsgs() do
    if cmsg.cmsg_level == SOL_SOCKET and cmsg.cmsg_type == SCM_TIMESTAMPING then
      local time = scm_timestamping_ptr(cmsg.cmsg_data).ts[0]
      local now = time.tv_sec * 1e6 + time.tv_nsec / 1e3
      if last and now > last then
        local class = math.max(0, math.floor(math.log(now - last) / math.log(2)))
        histogram[class + 1] = (histogram[class + 1] or 0) + 1
      end
      last = now
    elseif cmsg.cmsg_type == IP_RECVERR or cmsg.cmsg_type == IPV6_RECVERR then
      local origin = sock_extended_err_ptr(cmsg.cmsg_data).ee_origin
      if origin == SO_EE_ORIGIN_TIMESTAMPING then noted = noted + 1 end
    end
  end
  return count
end)

run()

for thread, count in ipairs(noted) do
  io.write(("thread %d: %d acknowledgements noted\n"):format(thread, count))
end
local longest = 0
for _, counts in ipairs(histogram) do longest = math.max(longest, table.maxn(counts)) end
for class = 1, longest do
  local sum = 0
  for _, counts in ipairs(histogram) do sum = sum + (counts[class] or 0) end
  io.write(("%8d us and more: %d\n"):format(2 ^ (class - 1), sum))
end
