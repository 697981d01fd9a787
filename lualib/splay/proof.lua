--- How an application judges itself: the first instance asks the others, prints one verdict, and
--- all end.
---
--- ```lua not run: it ends the application
--- events.run(function()
---   assert(rpc.server(job.me.port))
---   start()
---   proof.judge { what = "overlay", rpc = rpc, limit = 60, property = function()
---     local nodes, reason = proof.alive(rpc)
---     return nodes ~= nil, nodes and #nodes .. " nodes" or reason
---   end }  --> prints `overlay correct: 50 nodes`, or after a minute `overlay wrong: ...`
--- end)
--- ```
---
--- Since: 0.1
local nodes, parallel = require "splay.nodes", require "splay.parallel"

local M = {}

--- The nodes that answer, in the order of the list. Those that do not are taken for crashed if
--- instances were told to crash, else one is enough to fail.
---
--- `proof.alive(rpc)        --> nil, "3 of 3 nodes do not answer"`
--- `#proof.alive(rpc, 0.1)  --> 0`
---
--- Errors: `nil, "N of M nodes do not answer"` unless instances were told to crash.
---@async
---@param rpc table the module the nodes serve with
---@param crash number? the probability given to `cli.crash`, default 0
---@param list splay.Node[]? default: those of the job
---@param timeout number? seconds, default 3
---@return splay.Node[]? nodes
---@return string? reason
function M.alive(rpc, crash, list, timeout)
  list = list or _G.job.nodes
  local times = parallel.each(list, function(node) return rpc.ping(node, timeout or 3) end)
  local found = {}
  for i = 1, #list do
    if times[i] then found[#found + 1] = list[i] end
  end
  local silent = #list - #found
  if silent > 0 and (crash or 0) == 0 then
    return nil, ("%d of %d nodes %s not answer"):format(silent, #list,
      silent == 1 and "does" or "do")
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
--- ```lua
--- local function closed() return true, "all there" end
--- proof.judge { what = "ring", rpc = rpc, property = closed, limit = 60, stay = true }
--- --> prints ring correct: all there
--- ```
---
--- Errors: none; what `property` raises is raised.
---@async
---@param settings splay.proof.settings
function M.judge(settings)
  local job, now = _G.job, require("splay.misc").time
  local sleep = require("splay.events").sleep
  local over = now() + settings.limit
  if job.position > 1 then
    sleep(settings.limit + 30)
    if settings.stay then return end
    os.exit(1) -- nobody has told this instance to leave
  end
  local ok, text, ended
  repeat
    sleep(settings.every or 1)
    ok, text, ended = settings.property()
  until ok or now() > over
  print(("%s %s: %s"):format(settings.what, ok and "correct" or "wrong", text or "no reason given"))
  if settings.stay then return end
  parallel.each(nodes.without(ended or job.nodes, job.me), function(node)
    settings.rpc.acall(node, { "events.exit" }, 1)
  end)
  os.exit(ok and 0 or 1)
end

return M
