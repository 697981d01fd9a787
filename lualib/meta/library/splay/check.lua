---@meta splay.check
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.check.operation
local Operation = {}

---@class splay.check.history
local History = {}

---@class splay.check
local M = {}

--- A condition that holds whenever this instance comes to rest: it is asked each time that its
--- threads have run as far as they can. It may not wait.
---
--- ```lua
--- local leader, term = nil, 3
--- check.always("a leader has a term", function() return not leader or term > 0 end)
--- ```
---
--- Errors: raises for what is no name or no function.
---@param name string what is told if it does not hold
---@param condition fun(): any, any? whether it holds, and else perhaps why
function M.always(name, condition) end

--- A condition that comes true, at least once, within a time from now.
---
--- ```lua
--- local joined = false
--- check.eventually("joined", function() return joined end, 30)
--- joined = true
--- ```
---
--- Errors: raises for what is no name, no function or no time.
---@param name string what is told if it does not
---@param condition fun(): any, any? whether it holds, and else perhaps why
---@param within number seconds
function M.eventually(name, condition, within) end

--- The program never comes here.
---
--- ```lua
--- local votes = { 1, 2, 3 }
--- if #votes > 5 then check.unreachable("more votes than nodes", #votes) end
--- ```
---
--- Errors: none.
---@param name string what is told if it does
---@param reason any? told besides
function M.unreachable(name, reason) end

--- Some instance comes here, in some part of the run: call what this gives when it does. A run in
--- which none has violates it.
---
--- ```lua
--- local repaired = check.reachable("a successor was replaced")
--- repaired()
--- ```
---
--- Errors: none.
---@param name string what is told if none does
---@return fun() mark
function M.reachable(name) end

--- What this instance shows to conditions over all instances: see `check.global`.
---
--- `check.expose(function() return { term = 3, leader = true } end)`
---
--- Errors: none.
---@param fn fun(): any plain data: tables, texts, numbers, booleans
function M.expose(fn) end

--- A condition over all live instances at the same instant, asked every second of virtual time: in
--- a simulation alone, where an instant is the same for all. Elsewhere nothing is asked.
---
--- ```lua
--- check.expose(function() return { leader = false } end)
--- check.global("one leader", function(nodes)
---   local leaders = 0
---   for _, node in ipairs(nodes) do
---     if node.state and node.state.leader then leaders = leaders + 1 end
---   end
---   return leaders <= 1, leaders .. " leaders"
--- end)
--- ```
---
--- Errors: none.
---@param name string what is told if it does not hold
---@param condition fun(nodes: table[]): any, any? of tables with `position` and `state`: what the
--- instance exposes
---@return boolean asked whether it will be asked
function M.global(name, condition) end

--- A history of operations on one object, to which all instances add under the same name. At the
--- end of the run it must be linearizable: some order of the operations, each between its call and
--- its answer, explains all results.
---
--- | model | operations |
--- |---|---|
--- | register | `read()`, `write(value)`, `cas(old, new)` |
--- | map | `get(key)`, `put(key, value)`, `delete(key)`, `cas(key, old, new)` |
--- | set | `add(value)`, `remove(value)`, `contains(value)`, `read()` |
--- | queue | `enqueue(value)`, `dequeue()` |
---
--- ```lua
--- local h = check.history("store", "map")
--- local op = h:invoke("put", "color", "red")
--- op:ok()
--- h:invoke("get", "color"):ok("red")
--- ```
---
--- Errors: raises for an unknown model.
---@param name string
---@param model string "register", "map", "set" or "queue"
---@return splay.check.history
function M.history(name, model) end

--- An operation is called: before its request leaves.
---
--- `check.history("h", "queue"):invoke("enqueue", 7):ok()`
---
--- Errors: raises for an operation that the model does not have.
---@param operation string
---@param ... any its arguments
---@return splay.check.operation
function History:invoke(operation, ...) end

--- It happened, with these results: nil where there is no value, true or false of `cas` and
--- `contains`, all elements of a set's `read`.
---
--- `check.history("r", "register"):invoke("read"):ok(nil)`
---
--- Errors: raises if it has ended already.
---@param ... any
function Operation:ok(...) end

--- It did not happen, and never will.
---
--- `check.history("r", "register"):invoke("write", 5):fail()`
---
--- Errors: raises if it has ended already.
function Operation:fail() end

--- Nobody knows whether it happened, or will: a timeout.
---
--- `check.history("r", "register"):invoke("write", 6):info()`
---
--- Errors: raises if it has ended already.
function Operation:info() end

--- As `operation:ok(...)`.
---
--- `local h = check.history("r", "register") h:ok(h:invoke("read"), nil)`
---
--- Errors: as `Operation:ok`.
---@param operation splay.check.operation
---@param ... any
function History:ok(operation, ...) end

--- As `operation:fail()`.
---
--- `local h = check.history("r", "register") h:fail(h:invoke("write", 1))`
---
--- Errors: as `Operation:fail`.
---@param operation splay.check.operation
function History:fail(operation) end

--- As `operation:info()`.
---
--- `local h = check.history("r", "register") h:info(h:invoke("write", 1))`
---
--- Errors: as `Operation:info`.
---@param operation splay.check.operation
function History:info(operation) end

return M
