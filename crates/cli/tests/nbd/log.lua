#!/usr/sbin/nbdkit lua
-- Tells on standard error what is called.
local function told(name)
  return function(...)
    local line = name
    for i = 1, select("#", ...) do
      local value = select(i, ...)
      if type(value) == "string" and #value > 20 then value = "#" .. #value end
      line = line .. " " .. tostring(value)
    end
    io.stderr:write(line, "\n")
  end
end
local tell = {}
for _, name in ipairs {
  "config", "config_complete", "open", "close", "get_size", "pread", "pwrite", "flush", "trim",
  "zero", "can_write", "can_flush", "can_trim", "is_rotational",
} do
  tell[name] = told(name)
end
function config(key, value) tell.config(key, value) end
function config_complete() tell.config_complete() end
function open(readonly) tell.open(readonly) return nil end
function close(h) tell.close(h) end
function get_size(h) tell.get_size(h) return 1 << 16 end
function can_write(h) tell.can_write(h) return true end
function can_flush(h) tell.can_flush(h) return true end
function can_trim(h) tell.can_trim(h) return true end
function is_rotational(h) tell.is_rotational(h) return false end
function pread(h, count, offset)
  tell.pread(h, count, offset)
  if offset == 4242 then error("broke at " .. offset) end
  return string.rep("x", count + count // 2)
end
function pwrite(h, data, offset)
  tell.pwrite(h, data, offset)
  if offset == 4243 then error({ errno = "ENOSPC" }) end
end
function flush(h) tell.flush(h) end
function trim(h, count, offset) tell.trim(h, count, offset) end
function zero(h, count, offset, may_trim) tell.zero(h, count, offset, may_trim) end
