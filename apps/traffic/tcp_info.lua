--- What the kernel knows of a client's connections when they end.
---
---   splay traffic tcp_stream
---   splay traffic tcp_stream -c -H HOST -F 4 --script tcp_info.lua

local infos = collect({})

client_close(function(sockfd)
  local info = assert(getsockopt(sockfd, IPPROTO_TCP, TCP_INFO))
  infos[#infos + 1] = { rtt = info.tcpi_rtt, window = info.tcpi_snd_cwnd,
    retransmitted = info.tcpi_total_retrans }
end)

run()

for thread, list in ipairs(infos) do
  for flow, info in ipairs(list) do
    io.write(("thread %d flow %d: rtt %d us, window %d segments, %d retransmitted\n"):format(
      thread, flow, info.rtt, info.window, info.retransmitted))
  end
end
