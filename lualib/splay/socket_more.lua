--- The part of LuaSocket that few programs use: exceptions as return values, sources and sinks.
--- `splay.socket` loads it when one of its functions is first asked for.
local BLOCKSIZE = 2048

local M = {
  --- What `sink` chooses from: makers of sinks by name.
  ---@type table<string, fun(s: splay.Tcp): ltn12.Sink>
  sinkt = {},
  --- What `source` chooses from: makers of sources by name.
  ---@type table<string, fun(s: splay.Tcp, length: integer?): ltn12.Source>
  sourcet = {},
}

-- Marks the errors raised by `try`, so that `protect` passes on all others.
local raised = { __tostring = function(e) return tostring(e[1]) end }

--- Makes a function like `socket.try` that calls `finalizer` before it raises.
---
--- `local try = socket.newtry(function() print("closing") end)`
--- `pcall(try, nil, "no")  --> false, ...`
---
--- Errors: none; the function it makes raises the second argument if the first is nil or false.
---@param finalizer function?
---@return fun(...): ...
function M.newtry(finalizer)
  return function(...)
    if ... then return ... end
    if finalizer then pcall(finalizer) end
    error(setmetatable({ (select(2, ...)) }, raised), 0)
  end
end

--- Returns its arguments, or raises the second if the first is nil or false; to be used inside
--- a function given to `socket.protect`.
---
--- ```lua
--- socket.protect(function() return socket.try(socket.connect("127.0.0.1", 1)) end)()
---   --> nil, "connection refused"
--- ```
---
--- Errors: raises the second argument if the first is nil or false.
---@param ... any
---@return ...
M.try = M.newtry()

local function unprotect(ok, ...)
  if ok then return ... end
  local e = ...
  if type(e) == "table" and getmetatable(e) == raised then return nil, e[1] end
  error(e, 0)
end

--- Makes a function that returns `nil, "reason"` where `f` raises an error of `try`. It may wait.
---
--- `socket.protect(function() socket.try(nil, "no") end)()  --> nil, "no"`
---@generic F: function
---@param f F
---@return F
function M.protect(f)
  return function(...) return unprotect(pcall(f, ...)) end
end

--- Makes a function that calls the entry of `t` that its first argument names.
---
--- ```lua
--- local function same(x) return x end
--- local f = socket.choose({ default = function() return "d" end, other = same })
--- f("other", 1), f()  --> 1, "d"
--- ```
---
--- Errors: none; the function it makes raises for unknown names.
---@param t table<string, function>
---@return fun(name: string?, ...): any
function M.choose(t)
  return function(name, a, b)
    if type(name) ~= "string" then name, a, b = "default", name, a end
    local f = t[name]
    if not f then error("unknown key (" .. tostring(name) .. ")", 3) end
    return f(a, b)
  end
end

-- An object that is called like a function and can be given to select.
local function callable(sock, call)
  return setmetatable({
    getfd = function() return sock:getfd() end,
    dirty = function() return sock:dirty() end,
  }, { __call = call })
end

M.sinkt["close-when-done"] = function(sock)
  return callable(sock, function(_, chunk)
    if chunk then return sock:send(chunk) end
    sock:close()
    return 1
  end)
end

M.sinkt["keep-open"] = function(sock)
  return callable(sock, function(_, chunk)
    if chunk then return sock:send(chunk) end
    return 1
  end)
end

M.sinkt["default"] = M.sinkt["keep-open"]

--- Makes an LTN12 sink that sends to a socket: "close-when-done" or "keep-open".
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 20304))
--- local c = socket.connect("127.0.0.1", 20304)
--- ltn12.pump.all(ltn12.source.string("hello"), socket.sink("close-when-done", c))  --> 1
--- server:accept():receive("*a")                                                    --> "hello"
--- ```
---@param mode string?
---@param s splay.Tcp
---@return function
M.sink = M.choose(M.sinkt)

M.sourcet["by-length"] = function(sock, length)
  return callable(sock, function()
    if length <= 0 then return nil end
    local chunk, reason = sock:receive(math.min(BLOCKSIZE, length))
    if not chunk then return nil, reason end
    length = length - #chunk
    return chunk
  end)
end

M.sourcet["until-closed"] = function(sock)
  local done = false
  return callable(sock, function()
    if done then return nil end
    local chunk, reason, partial = sock:receive(BLOCKSIZE)
    if chunk then return chunk end
    if reason ~= "closed" then return nil, reason end
    sock:close()
    done = true
    return partial
  end)
end

M.sourcet["default"] = M.sourcet["until-closed"]

--- Makes an LTN12 source that receives from a socket: "by-length" or "until-closed".
---
--- ```lua
--- local server = assert(socket.bind("127.0.0.1", 20305))
--- local c = socket.connect("127.0.0.1", 20305)
--- server:accept():send("hello")
--- socket.source("by-length", c, 5)()  --> "hello"
--- ```
---@param mode string?
---@param s splay.Tcp
---@param length integer?
---@return function
M.source = M.choose(M.sourcet)

return M
