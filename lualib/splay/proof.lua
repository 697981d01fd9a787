--- How an application judges itself: the first instance asks the others, prints one verdict, and
--- all end.
---
--- ```lua
--- events.run(function()
---   assert(rpc.server(job.me.port))
---   start()
---   proof.judge { what = "overlay", rpc = rpc, limit = 60, property = function()
---     local nodes = proof.alive(rpc)
---     if #nodes < job.total then return nil, "a node is missing" end
---     return true, #nodes .. " nodes"
---   end }  --> prints `overlay correct: 50 nodes`, or after a minute `overlay wrong: ...`
--- end)
--- ```
local events = require "splay.events"

local M = {}

-- Calls under way at the same time: enough to hide those who do not answer.
local WIDTH = 64

--- Calls a function for every element of an array, in up to 64 threads at a time.
---
--- `proof.each({1, 2, 3}, function(x) events.sleep(1) return x * x end)  --> {1, 4, 9} after 1 s`
---@async
---@param list any[]
---@param f fun(element: any, index: integer): any
---@param width integer? threads at a time
---@return table results the first result for each element at its index, nil where that was nil
function M.each(list, f, width)
  local results, taken, running = {}, 0, math.min(width or WIDTH, #list)
  local failed
  local function work()
    while taken < #list and not failed do
      taken = taken + 1
      local i = taken
      local ok, result = pcall(f, list[i], i)
      if ok then results[i] = result else failed = failed or { result } end
    end
    running = running - 1
    if running == 0 then events.fire(results) end
  end
  for _ = 1, running do events.thread(work) end
  if running > 0 then events.wait(results) end
  if failed then error(failed[1], 0) end
  return results
end

--- Makes the same call to many nodes, all at once.
---
--- `proof.ask(rpc, job.nodes, { "add", 1, 2 })  --> {3, 3, nil, 3}  3`
---@async
---@param rpc table the module the nodes serve with
---@param nodes splay.node[]
---@param call string|table as for `rpc.call`
---@param timeout number? default 3
---@return table answers the first result of each node at its index, nil for those that are silent
---@return integer count how many answered
function M.ask(rpc, nodes, call, timeout)
  local count = 0
  local answers = M.each(nodes, function(node)
    local ok, results = rpc.acall(node, call, timeout or 3)
    if not ok then return nil end
    count = count + 1
    return results[1]
  end)
  return answers, count
end

--- The nodes that answer, in the order of the list.
---
--- `#proof.alive(rpc)  --> 47, when three of fifty have crashed`
---@async
---@param rpc table the module the nodes serve with
---@param nodes splay.node[]? default: those of the job
---@param timeout number? default 3
---@return splay.node[]
function M.alive(rpc, nodes, timeout)
  nodes = nodes or _G.job.nodes
  local times = M.each(nodes, function(node) return rpc.ping(node, timeout or 3) end)
  local found = {}
  for i = 1, #nodes do
    if times[i] then found[#found + 1] = nodes[i] end
  end
  return found
end

---@class splay.proof.settings
---@field what string what is judged, the first word of the verdict
---@field rpc table the module the nodes serve with
---@field property fun(): boolean?, string?, table? whether it holds now, and a description or what
--- is wrong; perhaps the nodes to end, if they are not those of the job
---@field limit number seconds for the property to hold; a wrong verdict after that
---@field every number? seconds between two attempts, default 1
---@field stay boolean? keep all running after the verdict

--- Judges the application on its first instance: tries a property until it holds or time is over,
--- prints `WHAT correct: description` or `WHAT wrong: reason`, ends the other instances and itself,
--- with status 1 if wrong. The other instances wait to be ended; 30 s after the limit they end by
--- themselves, with status 1.
---
--- `proof.judge { what = "ring", rpc = rpc, property = closed, limit = 60 }`
---@async
---@param settings splay.proof.settings
function M.judge(settings)
  local job, now = _G.job, require("splay.misc").time
  local over = now() + settings.limit
  if job.position > 1 then
    events.sleep(settings.limit + 30)
    if settings.stay then return end
    os.exit(1) -- nobody has told this instance to leave
  end
  local ok, text, nodes
  repeat
    events.sleep(settings.every or 1)
    ok, text, nodes = settings.property()
  until ok or now() > over
  print(("%s %s: %s"):format(settings.what, ok and "correct" or "wrong", text or "no reason given"))
  if settings.stay then return end
  M.each(nodes or job.nodes, function(node)
    if node.port ~= job.me.port or node.ip ~= job.me.ip then
      settings.rpc.acall(node, { "events.exit" }, 1)
    end
  end)
  os.exit(ok and 0 or 1)
end

return M
