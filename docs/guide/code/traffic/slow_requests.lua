-- Counts a client's responses by how long they took: less than 50 us, 100 us, 200 us, ...

local last
local classes = collect({})

client_sendmsg(function(sockfd, msg, flags)
  last = os.clock()
  return sendmsg(sockfd, msg, flags)
end)

client_recvmsg(function(sockfd, msg, flags)
  local count, err = recvmsg(sockfd, msg, flags)
  if not count then return count, err end
  local class = math.max(0, math.ceil(math.log((os.clock() - last) / 50e-6) / math.log(2)))
  classes[class] = (classes[class] or 0) + 1
  return count
end)

run()

for thread, counts in ipairs(classes) do
  for class = 0, table.maxn(counts) do
    print(("thread %d: %d used less than %d us of the processor"):format(thread,
      counts[class] or 0, 50 * 2 ^ class))
  end
end
