-- A disk whose second half breaks, slowly.
require "splay.base"
local nbd = require "splay.nbd"

local disk = nbd.memory(1048576)
local whole = disk.pread

function disk.pread(h, count, offset)
  if offset >= 524288 then
    events.sleep(0.1) -- other threads go on meanwhile
    error { errno = "EIO", message = "bad sector at " .. offset }
  end
  return whole(h, count, offset)
end

events.run(function()
  local server = assert(nbd.serve(0, disk))
  local client = assert(nbd.connect("127.0.0.1", server.port))
  print(client:pwrite("hello", 4096))
  print(client:pread(5, 4096))
  print(client:pread(5, 524288))
  client:close()
  server:close()
end)
