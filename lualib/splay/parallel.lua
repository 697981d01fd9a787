--- The same work for many things at the same time: one thread each, results in order.
---
--- Since: 0.1
local events = require "splay.events"

local M = {}

-- Calls under way at the same time: enough to hide those who do not answer.
local WIDTH = 64

--- Calls a function for every element of an array, in up to 64 threads at a time.
---
--- `parallel.each({1, 2, 3}, function(x) events.sleep(1) return x * x end)  --> {1, 4, 9}`
---
--- Errors: raises the first error that one of the calls raises.
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

--- Runs a function in some threads and waits for all of them.
---
--- `parallel.times(3, function(i) return i * i end)  --> {1, 4, 9}`
---
--- Errors: raises the first error that one of the calls raises.
---@async
---@param n integer how many threads
---@param f fun(i: integer): any
---@return table results the first result of each, nil where that was nil
function M.times(n, f)
  local numbers = {}
  for i = 1, n do numbers[i] = i end
  return M.each(numbers, f, n)
end

--- Makes the same call to many nodes, all at once.
---
--- ```lua
--- function add(a, b) return a + b end
--- rpc.server(20002)
--- parallel.ask(rpc, { job.nodes[1], job.nodes[2] }, { "add", 1, 2 })  --> { nil, 3 }, 1
--- ```
---@async
---@param rpc table the module the nodes serve with
---@param nodes splay.Node[]
---@param call string|table as for `rpc.call`
---@param timeout number? seconds, default 3
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

return M
