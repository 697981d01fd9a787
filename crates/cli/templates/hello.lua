-- Every instance says who it is, and a few times that it is still there.
--
-- Run:    splay run hello.lua -n 5
-- Test:   splay test hello_test.lua
-- Prints: `hello, I am instance 1 of 5`, then `tick 1`, `tick 2`, ...
require "splay.base" -- sets the globals events, misc, log and socket

local M = {}

-- Settings: change them here, or from a test.
M.ticks = 3 -- how often to say so
M.period = 0.2 -- seconds in between

-- What an instance says first. `job` is what the instance knows of its run: its address job.me,
-- its position from 1, and job.nodes, the instances it has been told of.
function M.greeting()
  return ("hello, I am instance %d of %d"):format(job.position, #job.nodes)
end

-- Waits and counts. A thread that sleeps lets all others go on.
function M.tick(say)
  for i = 1, M.ticks do
    events.sleep(M.period)
    say("tick " .. i)
  end
  return M.ticks
end

-- The first thread. The program ends when no thread is left.
function M.main()
  print(M.greeting())
  M.tick(print)
end

-- Required by its test, the file has no job and only offers its functions.
if job then events.run(M.main) end

return M
