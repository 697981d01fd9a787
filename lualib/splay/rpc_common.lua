--- What splay.rpc, splay.urpc and splay.rpcq have in common: the manual's calls over a native
--- carrier.

local error, setmetatable = error, setmetatable

---@class splay.rpc.settings
---@field max? integer most calls under way at the same time (nil: no limit)
---@field default_timeout number seconds for calls that name no timeout

---@class splay.node
---@field ip string
---@field port integer

-- What ecall does with the answer of `try`. The position is that of the caller.
local function results(level, ok, ...)
  if not ok then error((...), level) end
  return ...
end

--- Builds a module over a native carrier.
---@param mode "rpc"|"urpc"|"rpcq"
---@param settings splay.rpc.settings
---@return table module
---@return table core the native carrier
--- Example: `local M, core = require "splay.rpc_common" ("rpc", { default_timeout = 60 })`
return function(mode, settings)
  local core = require("splay." .. mode .. "_core")
  core.settings(settings)
  local try, ping = core.try, core.ping

  local M = {
    --- Name of this kind of remote call.
    mode = mode,
    --- Read at every call; see splay.rpc.settings.
    settings = settings,
    --- Calls a remote function or reads a remote variable:
    --- `acall(node | ip, port, name | {name, ...}[, timeout])` -> true, {results} | false, error
    acall = core.acall,
    a_call = core.acall,
    --- As acall -> results | nil, error
    call = core.call,
    --- Round-trip time: `ping(node | ip, port[, timeout])` -> seconds | nil, error
    ping = ping,
    --- Serves calls: `server(port | node[, max[, backlog]])` -> true | nil, error
    server = core.server,
    --- Stops serving: `stop_server(port | node)`
    stop_server = core.stop_server,
  }

  --- As acall; returns the results or raises an error.
  ---@async
  ---@return any ...
  --- Example: `local sum = rpc.ecall(node, {"add", 1, 2})` --> 3
  function M.ecall(...)
    return results(2, try(...))
  end

  --- Makes an object whose methods are remote functions: results or an error raised. Its field
  --- `timeout` may be set.
  ---@param node splay.node|string node, or an address followed by a port
  ---@param port? integer
  ---@return table proxy
  --- Example: `local p = rpc.proxy(node) print(p:add(1, 2))` --> 3
  function M.proxy(node, port)
    local ip = node
    if type(node) == "table" then ip, port = node.ip, node.port end
    local proxy = { ip = ip, port = port, timeout = nil }
    function proxy.ping(self, timeout)
      return ping(self.ip, self.port, timeout or self.timeout)
    end
    return setmetatable(proxy, {
      __index = function(_, name)
        if name == "timeout" then return nil end
        return function(self, ...)
          return results(2, try(self.ip, self.port, { name, ... }, self.timeout))
        end
      end,
    })
  end

  -- The module's log object is made when first used.
  setmetatable(M, {
    __index = function(t, key)
      if key ~= "l_o" then return nil end
      local l_o = require("splay.log").new(3, "[splay." .. mode .. "]")
      rawset(t, key, l_o)
      return l_o
    end,
  })
  return M, core
end
