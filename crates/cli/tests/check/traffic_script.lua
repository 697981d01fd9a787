-- A script of `splay traffic`, and not all of its names are right.
local seen = collect(0)

server_socket(function(sockfd)
  assert(setsockopt(sockfd, SOL_SOCKET, SO_REUSEPRT, 1))
  seen = seen + thread_id
  events.sleep(1)
end)

run()
