--- Threads, events and timers: the scheduler as an application sees it.
--- Times are in seconds. Threads are named by strings. Locks are part of this module too:
--- `events.lock`, `events.semaphore` and `events.synchronize` are those of `splay.locks`.
---
--- Since: 0.1
--- Manual: 'splay.events'

local core = require "splay.events_core"
local type, pairs, setmetatable = type, pairs, setmetatable
local wait, fire = core.wait, core.fire
local isyieldable = coroutine.isyieldable
local begun -- the first thread that the main chunk made

---@class splay.events
---@field l_o splay.log.Object the module's log object, with level 3
local M = {}

--- Name of a thread, as `tostring(coroutine)` gives it.
---@alias splay.thread string

--- Fires an event: every thread that waits for it now, or begins to before the next pass of the
--- scheduler, is resumed with the arguments. Does not yield.
---
--- `events.fire("ready", 42)  --> true`
--- `events.fire("ready", 43)  --> false`
---
--- Manual: 'splay.events'
---@param event any name of the event (any value but nil and false)
---@param ... any passed to the waiting threads
---@return boolean fired false if the event is already fired and not yet delivered
M.fire = fire

--- Waits for an event.
---
--- ```lua
--- events.thread(function() events.fire("ready", 42) end)
--- events.wait("ready", 1)  --> true, 42
--- events.wait("never", 1)  --> false, "timeout"
--- ```
---
--- Errors: `false, "timeout"` after the timeout. Raises outside of a thread.
--- Manual: 'splay.events'
---@async
---@param event any
---@param timeout? number seconds
---@return any ... without timeout: the arguments of `fire`; with: true and the arguments, or
--- false, "timeout"
M.wait = wait

--- Suspends the current thread.
---
--- `events.sleep(0.5)  --> true`
---
--- Errors: raises outside of a thread.
--- Manual: 'splay.events'
---@async
---@param seconds? number nil or negative: as `yield`
---@return true
M.sleep = core.sleep

--- Lets the other threads run.
---
--- `events.yield()  --> true`
---
--- Errors: raises outside of a thread.
--- Manual: 'splay.events'
---@async
---@return true
M.yield = core["yield"]

--- Tells what a thread is doing.
---
--- `events.status(events.thread(function() end))  --> "suspended"`
---
--- Manual: 'splay.events'
---@param thread splay.thread
---@return "running"|"suspended"|"normal"|"dead"
M.status = core.status

--- Tells whether a thread has ended.
---
--- `events.dead("thread: 0x0")  --> true`
---
--- Manual: 'splay.events'
---@param thread splay.thread
---@return boolean
M.dead = core.dead

--- Creates a thread for each function; it runs when the current thread yields.
---
--- `events.thread(function() events.fire("begun") end)`
--- `events.wait("begun", 1)  --> true`
---
--- Manual: 'splay.events'
---@param f function|thread|(function|thread)[]
---@return splay.thread|splay.thread[] name or, for a table, array of names
function M.thread(f)
  if type(f) ~= "table" then
    local name = core.thread(f)
    begun = begun or not core.running() and name or nil
    return name
  end
  local names = {}
  for _, one in pairs(f) do
    names[#names + 1] = core.thread(one)
  end
  begun = begun or not core.running() and names[1] or nil
  return names
end

--- Kills threads. Killing the current thread does not return.
---
--- ```lua
--- local t = events.thread(function() events.sleep(60) end)
--- events.kill(t)  --> true
--- events.dead(t)  --> true
--- ```
---
--- Errors: `nil, "not found"` for a thread that has ended.
--- Manual: 'splay.events'
---@param thread splay.thread|splay.thread[]
---@return true|nil|table result true, or nil and "not found"; for a table, array of results
---@return string? reason
function M.kill(thread)
  if type(thread) ~= "table" then return core.kill(thread) end
  local results = {}
  for i, one in pairs(thread) do
    results[i] = core.kill(one)
  end
  return results
end

--- Runs the scheduler from the main chunk until no thread can ever run again.
---
--- ```lua not run: it is the main chunk that calls it
--- events.run(function()
---   print("hello")
--- end)
--- ```
---
--- Manual: 'splay.events'
---@param f? function|function[] first thread
function M.run(f)
  if not core.running() and not isyieldable() then
    error("events.run cannot wait inside a `require`; a file that others require starts only "
      .. "where there is a job: `if job then events.run(main) end`", 2)
  end
  return core.run(f and M.thread(f) or begun)
end

M.loop = M.run

--- Ends the application in 0.1 s, so that answers under way still leave.
---
--- ```lua not run: it ends the application
--- events.exit()
--- ```
---
--- Manual: 'splay.events'
function M.exit()
  core.thread(function()
    core.sleep(0.1)
    os.exit()
  end)
end

--- Calls functions again and again, each call in a thread of its own. The first call comes after
--- one period; periods do not drift. Without `force`, a function whose last call still runs is
--- left out. A warning says so the first time, then when the number of calls left out has doubled.
---
--- ```lua
--- local n = 0
--- local ticker = events.periodic(5, function() n = n + 1 end)
--- events.sleep(16)
--- events.kill(ticker)
--- n  --> 3
--- ```
---
--- Manual: 'splay.events'
---@overload fun(f: function|function[], period: number, force?: boolean): splay.thread
---@param period number seconds (the order of the first two arguments does not matter)
---@param f function|function[]
---@param force? boolean call even if the last call still runs
---@return splay.thread ticker kill it to stop the calls
function M.periodic(period, f, force)
  if type(period) == "function" or type(period) == "table" then period, f = f, period end
  local handlers = type(f) == "table" and f or { f }
  local clock = require("splay.misc_core").now
  return core.thread(function()
    local last, due = {}, clock()
    -- By handler: calls left out so far, and at how many a word is due.
    local left_out, tell_at = {}, {}
    while true do
      due = due + period
      local now = clock()
      -- After a stall the missed calls are not made up.
      if due < now then due = now end
      core.sleep(due - now)
      for i, handler in pairs(handlers) do
        if force or not last[i] or core.dead(last[i]) then
          last[i] = core.thread(handler)
        else
          local count = (left_out[i] or 0) + 1
          left_out[i] = count
          if count == (tell_at[i] or 1) then
            tell_at[i] = 2 * count
            M.l_o:warn("Periodic: " .. last[i] .. " from " .. tostring(handler)
              .. " is not dead, we wait"
              .. (count > 1 and (" (%d calls left out)"):format(count) or ""))
          end
        end
      end
    end
  end)
end

--- Describes the scheduler's activity in three lines.
---
--- `events.infos():match("^Events")  --> "Events"`
---@return string
function M.infos()
  local threads, runnable, created, ended, killed, passes, fires, names, waiting, timers =
    core.counts()
  return ("Events: %d s: %d r: %d n: %d\nThreads: %d s: %d r: %d Total new: %d end: %d kill: %d\n"
    .. "Loops: %d Fires: %d Timers: %d"):format(names, waiting, runnable, fires,
    threads, threads - runnable, runnable, created, ended, killed, passes, fires, timers)
end

M.stats = M.infos

--- Counts the threads that could run now.
---
--- `events.count_threads()  --> such as 0`
---@return integer
function M.count_threads()
  local _, runnable = core.counts()
  return runnable
end

-- Locks are in splay.locks; they and the module's log object are made when first used.
return setmetatable(M, {
  __index = function(t, key)
    if key == "l_o" then
      local l_o = require("splay.log").new(3, "[splay.events]")
      rawset(t, key, l_o)
      return l_o
    end
    if key == "lock" or key == "semaphore" or key == "synchronize" or key == "new_lock"
      or key == "new_semaphore" then
      for name, f in pairs(require "splay.locks") do
        if rawget(t, name) == nil then rawset(t, name, f) end
      end
      return rawget(t, key)
    end
    return nil
  end,
})
