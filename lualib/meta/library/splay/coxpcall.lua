---@meta splay.coxpcall
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.coxpcall
local M = {}

--- Calls a function; catches its error. It may wait.
---
--- `coxpcall.pcall(error, "no")  --> false, "no"`
---@async
---@param f function
---@param ... any
---@return boolean ok
---@return any ... results, or the error
function M.pcall(f, ...) end

--- Like `pcall`, with a handler for the error; further arguments go to the function.
---
--- `coxpcall.xpcall(error, function(e) return "!" .. e end, "no")  --> false, "!no"`
---@async
---@param f function
---@param handler fun(e: any): any
---@param ... any
---@return boolean ok
---@return any ... results, or what the handler returns
function M.xpcall(f, handler, ...) end

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
function M.handleReturnValue(handler, co, status, ...) end

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
function M.performResume(handler, co, ...) end

return M
