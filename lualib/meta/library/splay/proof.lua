---@meta splay.proof
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.proof.settings
---@field what string what is judged, the first word of the verdict
---@field rpc table the module the nodes serve with
---@field property fun(): boolean?, string?, table? whether it holds now, and a description or what
--- is wrong; perhaps the nodes to end, if they are not those of the job
---@field limit number seconds for the property to hold; a wrong verdict after that
---@field every number? seconds between two attempts, default 1
---@field stay boolean? keep all running after the verdict

---@class splay.proof
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
function M.alive(rpc, crash, list, timeout) end

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
function M.judge(settings) end

return M
