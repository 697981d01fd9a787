--- What must hold in a run, checked while it goes on: in any engine, in a few lines. A violation
--- ends the run, with status 1.
---
--- ```lua
--- local holding = 0
--- check.always("one holds the lock", function() return holding <= 1, holding .. " hold it" end)
--- check.eventually("somebody got it", function() return holding == 0 end, 10)
--- ```
---
--- Since: 0.1
local core = require "splay.check_core"
local benc = require "splay.benc"

local M = {}

local now = require("splay.misc_core").now
local always, eventually, over = {}, {}, {}
local expose, globals = nil, {}
local histories, declared = {}, {}

local function violate(name, reason)
  if over[name] then return end
  over[name] = true
  core.violated(name, reason == nil and "does not hold" or tostring(reason))
end

-- A condition: true, or false and a reason. What it raises is the reason.
local function holds(fn, ...)
  local ok, held, reason = pcall(fn, ...)
  if not ok then return false, held end
  return held, reason
end

local function evaluate()
  for name, fn in pairs(always) do
    local held, reason = holds(fn)
    if not held then
      always[name] = nil
      violate(name, reason)
    end
  end
  if next(eventually) then
    local time = now()
    for name, wait in pairs(eventually) do
      local held, reason = holds(wait.fn)
      if held then
        eventually[name] = nil
      elseif time >= wait.deadline then
        eventually[name] = nil
        violate(name, reason or ("not within %g s"):format(wait.within))
      end
    end
  end
end

local function show() return expose and benc.encode(expose()) or nil end

local installed = false
local function install()
  if installed then return end
  installed = true
  core.install(evaluate, show)
end

local function named(name, fn, which)
  if type(name) ~= "string" then
    error("bad argument #1 to '" .. which .. "' (a name expected)", 3)
  end
  if type(fn) ~= "function" then
    error("bad argument #2 to '" .. which .. "' (a function expected)", 3)
  end
end

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
function M.always(name, condition)
  named(name, condition, "always")
  install()
  always[name] = condition
end

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
function M.eventually(name, condition, within)
  named(name, condition, "eventually")
  if type(within) ~= "number" then
    error("bad argument #3 to 'eventually' (seconds expected)", 2)
  end
  install()
  eventually[name] = { fn = condition, within = within, deadline = now() + within }
  core.wake(within)
end

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
function M.unreachable(name, reason) violate(name, reason == nil and "was reached" or reason) end

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
function M.reachable(name)
  if not declared[name] then
    declared[name] = true
    core.declare(name)
  end
  local marked = false
  return function()
    if marked then return end
    marked = true
    core.reached(name)
  end
end

--- What this instance shows to conditions over all instances: see `check.global`.
---
--- `check.expose(function() return { term = 3, leader = true } end)`
---
--- Errors: none.
---@param fn fun(): any plain data: tables, texts, numbers, booleans
function M.expose(fn)
  install()
  expose = fn
end

local function judge(shown)
  local nodes = {}
  for i, one in ipairs(shown) do
    nodes[i] = { position = one[1], state = one[2] and benc.decode(one[2]) or nil }
  end
  for name, condition in pairs(globals) do
    local held, reason = holds(condition, nodes)
    if not held then
      globals[name] = nil
      violate(name, reason)
    end
  end
end

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
function M.global(name, condition)
  named(name, condition, "global")
  if not core.simulated() then return false end
  install()
  if not next(globals) then core.look(judge) end
  globals[name] = condition
  return true
end

---@class splay.check.operation
local Operation = {}
Operation.__index = Operation

---@class splay.check.history
local History = {}
History.__index = History

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
function M.history(name, model)
  core.accepts(model)
  local history = histories[name]
  if not history then
    history = setmetatable({ name = name, model = model, count = 0 }, History)
    histories[name] = history
  end
  return history
end

--- An operation is called: before its request leaves.
---
--- `check.history("h", "queue"):invoke("enqueue", 7):ok()`
---
--- Errors: raises for an operation that the model does not have.
---@param operation string
---@param ... any its arguments
---@return splay.check.operation
function History:invoke(operation, ...)
  self.count = self.count + 1
  core.invoke(self.name, self.model, self.count, operation, ...)
  return setmetatable({ history = self, number = self.count }, Operation)
end

local function ended(operation, how, ...)
  if operation.over then error("this operation has ended already", 3) end
  operation.over = true
  local history = operation.history
  core.ended(history.name, history.model, operation.number, how, ...)
end

--- It happened, with these results: nil where there is no value, true or false of `cas` and
--- `contains`, all elements of a set's `read`.
---
--- `check.history("r", "register"):invoke("read"):ok(nil)`
---
--- Errors: raises if it has ended already.
---@param ... any
function Operation:ok(...) ended(self, "ok", ...) end

--- It did not happen, and never will.
---
--- `check.history("r", "register"):invoke("write", 5):fail()`
---
--- Errors: raises if it has ended already.
function Operation:fail() ended(self, "fail") end

--- Nobody knows whether it happened, or will: a timeout.
---
--- `check.history("r", "register"):invoke("write", 6):info()`
---
--- Errors: raises if it has ended already.
function Operation:info() ended(self, "info") end

--- As `operation:ok(...)`.
---
--- `local h = check.history("r", "register") h:ok(h:invoke("read"), nil)`
---
--- Errors: as `Operation:ok`.
---@param operation splay.check.operation
---@param ... any
function History:ok(operation, ...) ended(operation, "ok", ...) end

--- As `operation:fail()`.
---
--- `local h = check.history("r", "register") h:fail(h:invoke("write", 1))`
---
--- Errors: as `Operation:fail`.
---@param operation splay.check.operation
function History:fail(operation) ended(operation, "fail") end

--- As `operation:info()`.
---
--- `local h = check.history("r", "register") h:info(h:invoke("write", 1))`
---
--- Errors: as `Operation:info`.
---@param operation splay.check.operation
function History:info(operation) ended(operation, "info") end

return M
