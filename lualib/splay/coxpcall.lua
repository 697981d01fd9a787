--- Protected calls around functions that wait. LuaJIT's own `pcall` and `xpcall` let them; this
--- module gives programs written for Lua 5.1 the names they know.
---
--- Since: 0.1
local M = {}

--- Calls a function; catches its error. It may wait.
---
--- `coxpcall.pcall(error, "no")  --> false, "no"`
---@async
---@param f function
---@param ... any
---@return boolean ok
---@return any ... results, or the error
M.pcall = pcall

--- Like `pcall`, with a handler for the error; further arguments go to the function.
---
--- `coxpcall.xpcall(error, function(e) return "!" .. e end, "no")  --> false, "!no"`
---@async
---@param f function
---@param handler fun(e: any): any
---@param ... any
---@return boolean ok
---@return any ... results, or what the handler returns
M.xpcall = xpcall

--- Hands the outcome of a resumed coroutine on: waits for it until it is dead.
---
--- `local co = coroutine.create(function() return 7 end)`
--- `coxpcall.handleReturnValue(print, co, coroutine.resume(co))  --> true, 7`
---@async
---@param handler function called with the message and a traceback, and the raw message
---@param co thread
---@param status boolean
---@param ... any
---@return boolean ok
---@return any ...
function M.handleReturnValue(handler, co, status, ...)
  if not status then
    local message = (...)
    local text = type(message) == "string" and debug.traceback(co, message) or message
    return false, handler(text, message)
  end
  if coroutine.status(co) == "suspended" then
    return M.performResume(handler, co, coroutine.yield(...))
  end
  return true, ...
end

--- Resumes a coroutine until it ends, passing what it yields on to the scheduler.
---
--- `local co = coroutine.create(function(a, b) return a + b end)`
--- `coxpcall.performResume(print, co, 1, 2)  --> true, 3`
---@async
---@param handler function
---@param co thread
---@param ... any arguments of the coroutine
---@return boolean ok
---@return any ...
function M.performResume(handler, co, ...)
  return M.handleReturnValue(handler, co, coroutine.resume(co, ...))
end

return M
