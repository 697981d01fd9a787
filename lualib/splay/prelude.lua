--- Completes the globals of an instance before its program runs: coroutines that let requests
--- to the scheduler pass, what Lua 5.1 had and LuaJIT lacks, captured output.

local core = require "splay.base_core"
local REQUEST = core.request
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local error = error

-- Coroutines that have resumed each other: Lua 5.1 allows as many, and the native stack of more
-- would run out.
local MAX_DEPTH = 195
local depth = 0

local carry

local function enter(co, ...)
  if depth >= MAX_DEPTH then return false, "C stack overflow" end
  depth = depth + 1
  return carry(co, resume(co, ...))
end

-- A native call that waits yields REQUEST. It belongs to the scheduler: pass it up to whoever
-- resumed this coroutine, and hand the answer down.
function carry(co, ok, first, ...)
  depth = depth - 1
  if first == REQUEST and ok then
    return enter(co, yield(REQUEST))
  end
  return ok, first, ...
end

coroutine.resume = enter

local function again(co, ...)
  depth = depth + 1
  return resume(co, ...)
end

local function carry_wrapped(co, ok, first, ...)
  depth = depth - 1
  if not ok then error(first, 0) end
  if first == REQUEST then
    return carry_wrapped(co, again(co, yield(REQUEST)))
  end
  return first, ...
end

function coroutine.wrap(f)
  local co = create(f)
  return function(...)
    if depth >= MAX_DEPTH then error("C stack overflow", 2) end
    depth = depth + 1
    return carry_wrapped(co, resume(co, ...))
  end
end

if core.mode ~= "interpreter" then
  local stdout, stderr = io.stdout, io.stderr
  local output = io.output

  -- Stands for one of the process's streams: what is written becomes lines of the instance.
  local function captured(stream, file)
    local proxy, name = {}, tostring(file)
    local methods = {
      write = function(_, ...) core.write(stream, ...) return proxy end,
      flush = function() return proxy end,
      setvbuf = function() return true end,
      close = function() return nil, "cannot close a standard stream" end,
    }
    return setmetatable(proxy, {
      __index = methods,
      __tostring = function() return name end,
      __metatable = false,
    })
  end

  io.stdout, io.stderr = captured(1, stdout), captured(2, stderr)

  function io.write(...)
    local file = output()
    if file == stdout then return io.stdout:write(...) end
    return file:write(...)
  end

  function io.output(file)
    if file == nil then
      local now = output()
      return now == stdout and io.stdout or now
    end
    if file == io.stdout then file = stdout end
    return output(file)
  end
end

require "splay.compat51"
