--- Locks and semaphores of threads: reached as `events.lock`,
--- `events.semaphore` and `events.synchronize`.

local core = require "splay.events_core"
local pairs, pcall, setmetatable = pairs, pcall, setmetatable
local wait, fire = core.wait, core.fire

---@class splay.locks
local M = {}

-- Secure locks by the name of the thread that holds them.
local held

local function on_ended(name, how)
  local locks = held[name]
  held[name] = nil
  for lock in pairs(locks or {}) do
    if how == "error" or lock.secure == 2 then lock:unlock() end
  end
end

local function remember(lock)
  local name = core.running()
  if not name then return end
  if not held then
    held = {}
    core.on_ended(on_ended)
  end
  local locks = held[name]
  if not locks then
    locks = {}
    held[name] = locks
    core.holds_lock()
  end
  locks[lock] = true
end

--- `local lock = events.lock()`
---@class splay.lock
---@field id integer
---@field inside integer threads that hold it
---@field max integer threads that may hold it
---@field secure 1|2|false released when the holder dies: 1 by error, 2 in any way, false never
local Lock = {}
Lock.__index = Lock

--- Takes the lock, waiting if need be. Not re-entrant.
---
--- `lock:lock()  --> true`
--- `lock:lock(1)  --> false`
---
--- Errors: false after the timeout.
---@async
---@param timeout? number seconds
---@return boolean taken false after the timeout
function Lock:lock(timeout)
  local limit
  while self.inside >= self.max do
    if timeout then
      local now = require("splay.misc_core").now()
      limit = limit or now + timeout
      if now > limit or not wait(self, limit - now) then return false end
    else
      wait(self)
    end
  end
  self.inside = self.inside + 1
  if self.secure then remember(self) end
  return true
end

--- Gives the lock back; any thread may.
---
--- ```lua
--- lock:lock()
--- lock:unlock()
--- lock.inside  --> 0
--- ```
function Lock:unlock()
  self.inside = self.inside - 1
  local name = held and core.running()
  if name and held[name] then held[name][self] = nil end
  fire(self)
end

Lock.get, Lock.release = Lock.lock, Lock.unlock

local ids = 0

--- Makes a lock that `max` threads can hold at the same time.
---
--- `local s = events.semaphore(2)`
--- `s:lock(), s:lock(), s:lock(1)  --> true, true, false`
---
--- Manual: 'Secure locks'
---@param max? integer default 1
---@param secure? 1|2|false default 1
---@return splay.lock
function M.semaphore(max, secure)
  ids = ids + 1
  if secure == nil or secure == true then secure = 1 end
  return setmetatable({ id = ids, inside = 0, max = max or 1, secure = secure }, Lock)
end

--- Makes a mutual exclusion lock.
---
--- `local l = events.lock()`
--- `l:lock()  --> true`
---
--- Manual: 'Secure locks'
---@param secure? 1|2|false default 1
---@return splay.lock
function M.lock(secure)
  return M.semaphore(1, secure)
end

M.new_lock, M.new_semaphore = M.lock, M.semaphore

local guards

local function release(guard, ok, ...)
  guard:unlock()
  if not ok then error((...), 0) end
  return true, ...
end

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
function M.synchronize(f, timeout)
  guards = guards or setmetatable({}, { __mode = "k" })
  local guard = guards[f]
  if not guard then
    guard = M.semaphore(1, 2) -- released even if the thread is killed inside
    guards[f] = guard
  end
  if not guard:lock(timeout) then return false, "timeout" end
  return release(guard, pcall(f))
end

return M
