-- What a script registers with and runs a test by.
local start, own = ...

local hooks, wrappers, ran = {}, setmetatable({}, { __mode = "k" }), false

for _, name in ipairs { "socket", "close", "sendmsg", "recvmsg", "recverr" } do
  for _, role in ipairs { "client", "server" } do
    local full = role .. "_" .. name
    _G[full] = function(hook)
      if type(hook) ~= "function" then
        error(("bad argument #1 to '%s' (function expected, got %s)"):format(full, type(hook)), 2)
      end
      -- The other side's hooks are its own affair.
      if role ~= own then return end
      if hooks[name] then error("hook " .. full .. " already set", 2) end
      hooks[name] = hook
    end
  end
end

function collect(value)
  local wrapper = { value }
  wrappers[wrapper] = true
  return wrapper
end

function run()
  if ran then return end
  ran = true
  start(hooks, wrappers)
end

return run
