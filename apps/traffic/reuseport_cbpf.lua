--- Which of several sockets on one port gets a connection is decided by a program in the kernel:
--- here by the processor that the packet came in on.
---
---   splay traffic tcp_rr -T 2 --script reuseport_cbpf.lua
---   splay traffic tcp_rr -c -H HOST -F 10

local attached = collect(false)

server_socket(function(sockfd)
  assert(setsockopt(sockfd, SOL_SOCKET, SO_REUSEPORT, 1))
  -- The program is that of all sockets on the port; the first thread's is the first of them.
  if thread_id ~= 1 then return end
  local program = sock_fprog {
    -- A = number of the processor; A = A % 2; return A
    sock_filter(BPF_LD + BPF_W + BPF_ABS, 0, 0, SKF_AD_OFF + SKF_AD_CPU),
    sock_filter(BPF_ALU + BPF_MOD, 0, 0, 2),
    sock_filter(BPF_RET + BPF_A, 0, 0, 0),
  }
  assert(setsockopt(sockfd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program))
  attached = true
end)

run()

for thread, done in ipairs(attached) do
  io.write(("thread %d: program attached: %s\n"):format(thread, tostring(done)))
end
