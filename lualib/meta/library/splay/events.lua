---@meta splay.events
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

--- Name of a thread, as `tostring(coroutine)` gives it.
---@alias splay.thread string

--- `local lock = events.lock()`
---@class splay.lock
---@field id integer
---@field inside integer threads that hold it
---@field max integer threads that may hold it
---@field secure 1|2|false released when the holder dies: 1 by error, 2 in any way, false never
local Lock = {}

---@class splay.events
---@field l_o splay.log.Object the module's log object, with level 3
local M = {}

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
function M.fire(event, ...) end

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
function M.wait(event, timeout) end

--- Suspends the current thread.
---
--- `events.sleep(0.5)  --> true`
---
--- Errors: raises outside of a thread.
--- Manual: 'splay.events'
---@async
---@param seconds? number nil or negative: as `yield`
---@return true
function M.sleep(seconds) end

--- Lets the other threads run.
---
--- `events.yield()  --> true`
---
--- Errors: raises outside of a thread.
--- Manual: 'splay.events'
---@async
---@return true
function M.yield() end

--- Tells what a thread is doing.
---
--- `events.status(events.thread(function() end))  --> "suspended"`
---
--- Manual: 'splay.events'
---@param thread splay.thread
---@return "running"|"suspended"|"normal"|"dead"
function M.status(thread) end

--- Tells whether a thread has ended.
---
--- `events.dead("thread: 0x0")  --> true`
---
--- Manual: 'splay.events'
---@param thread splay.thread
---@return boolean
function M.dead(thread) end

--- Creates a thread for each function; it runs when the current thread yields.
---
--- `events.thread(function() events.fire("begun") end)`
--- `events.wait("begun", 1)  --> true`
---
--- Manual: 'splay.events'
---@param f function|thread|(function|thread)[]
---@return splay.thread|splay.thread[] name or, for a table, array of names
function M.thread(f) end

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
function M.kill(thread) end

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
function M.run(f) end

M.loop = M.run

--- Ends the application in 0.1 s, so that answers under way still leave.
---
--- ```lua not run: it ends the application
--- events.exit()
--- ```
---
--- Manual: 'splay.events'
function M.exit() end

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
function M.periodic(period, f, force) end

--- Describes the scheduler's activity in three lines.
---
--- `events.infos():match("^Events")  --> "Events"`
---@return string
function M.infos() end

M.stats = M.infos

--- Counts the threads that could run now.
---
--- `events.count_threads()  --> such as 0`
---@return integer
function M.count_threads() end

--- Takes the lock, waiting if need be. Not re-entrant.
---
--- `lock:lock()  --> true`
--- `lock:lock(1)  --> false`
---
--- Errors: false after the timeout.
---@async
---@param timeout? number seconds
---@return boolean taken false after the timeout
function Lock:lock(timeout) end

--- Gives the lock back; any thread may.
---
--- ```lua
--- lock:lock()
--- lock:unlock()
--- lock.inside  --> 0
--- ```
function Lock:unlock() end

Lock.get = Lock.lock

Lock.release = Lock.unlock

--- Makes a lock that `max` threads can hold at the same time.
---
--- `local s = events.semaphore(2)`
--- `s:lock(), s:lock(), s:lock(1)  --> true, true, false`
---
--- Manual: 'Secure locks'
---@param max? integer default 1
---@param secure? 1|2|false default 1
---@return splay.lock
function M.semaphore(max, secure) end

--- Makes a mutual exclusion lock.
---
--- `local l = events.lock()`
--- `l:lock()  --> true`
---
--- Manual: 'Secure locks'
---@param secure? 1|2|false default 1
---@return splay.lock
function M.lock(secure) end

M.new_lock = M.lock

M.new_semaphore = M.semaphore

--- Calls a function that only one thread may be inside of, if all call it this way.
---
--- `local n = 0`
--- `events.synchronize(function() n = n + 1 return n end, 2)  --> true, 1`
---
--- Errors: `false, "timeout"` where the others do not leave in time. What the function raises is
--- raised.
--- Manual: 'splay.events'
---@async
---@param f function
---@param timeout? number seconds to wait for the others
---@return boolean ok true and the function's results, or false and "timeout"
---@return any ...
function M.synchronize(f, timeout) end

return M
