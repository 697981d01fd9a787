--- The minimum every application requires: sets the globals `socket`, `events`, `log`, `misc`,
--- `coxpcall` and the namespace `splay` (`splay.rpc` is `require "splay.rpc"`).
---
--- ```lua
--- require "splay.base"
--- events.run(function() print("hello world") end)
--- ```
local G = _G
-- The libraries' own: in the sandbox it is not the program's `package.loaded`.
local loaded = require("splay.base_core").loaded

-- A module that is loaded when it is first used: many an instance never logs or opens a socket
-- of its own, and there may be thousands.
local function lazy(name)
  if loaded[name] then return loaded[name] end
  local stub = {}
  local function module()
    loaded[name] = nil
    local real = require(name)
    loaded[name] = stub
    setmetatable(stub, { __index = real, __newindex = real })
    return real
  end
  loaded[name] = setmetatable(stub, {
    __index = function(_, key) return module()[key] end,
    __newindex = function(_, key, value) module()[key] = value end,
  })
  return stub
end

G.coxpcall = require "splay.coxpcall"
G.events = require "splay.events"
G.socket = lazy "splay.socket"
G.log = lazy "splay.log"
G.misc = require "splay.misc"

local splay = type(G.splay) == "table" and G.splay or {}
G.splay = splay
for _, name in ipairs { "events", "socket", "log", "misc" } do splay[name] = G[name] end
if not getmetatable(splay) then
  setmetatable(splay, {
    __index = function(t, name)
      -- What the program may require, not what the libraries may.
      local ok, module = pcall(G.require, "splay." .. tostring(name))
      if not ok then return nil end
      t[name] = module
      return module
    end,
  })
end

return true
