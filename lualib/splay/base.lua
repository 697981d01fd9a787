--- The minimum every application requires: sets the globals `socket`, `events`, `log`, `misc`,
--- `coxpcall` and the namespace `splay` (`splay.rpc` is `require "splay.rpc"`).
---
--- ```lua not run: it is the main chunk that calls `events.run`
--- require "splay.base"
--- events.run(function()
---   print("hello world")
--- end)
--- ```
---
--- Since: 0.1
--- Manual: 'splay.base'
local G = _G

G.coxpcall = require "splay.coxpcall"
G.events = require "splay.events"
G.socket = require "splay.socket"
G.log = require "splay.log"
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
