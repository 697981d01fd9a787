-- Names that nothing assigns.
local base = 20000
successor = { port = base }

function find(id)
  print(succesor, id)
  rpc.call(successor, { "find", id })
  if tracing then print(tracing) end -- looked at before it is read
  return events.sleep(1)
end

print(arg[1], job and job.position, find, bit.bxor(1, 2), unpack)
