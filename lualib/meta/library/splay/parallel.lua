---@meta splay.parallel
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.parallel
local M = {}

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
function M.each(list, f, width) end

--- Runs a function in some threads and waits for all of them.
---
--- `parallel.times(3, function(i) return i * i end)  --> {1, 4, 9}`
---
--- Errors: raises the first error that one of the calls raises.
---@async
---@param n integer how many threads
---@param f fun(i: integer): any
---@return table results the first result of each, nil where that was nil
function M.times(n, f) end

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
function M.ask(rpc, nodes, call, timeout) end

return M
