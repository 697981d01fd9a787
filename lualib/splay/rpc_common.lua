--- What splay.rpc, splay.urpc and splay.rpcq have in common: the manual's calls over a native
--- carrier.

local error, setmetatable = error, setmetatable

---@class splay.rpc.settings
---@field max? integer most calls under way at the same time (nil: no limit)
---@field default_timeout number seconds for calls that name no timeout

-- What ecall does with the answer of `try`. The position is that of the caller.
local function results(level, ok, ...)
  if not ok then error((...), level) end
  return ...
end

--- Builds a module over a native carrier.
---
--- `local M, core = require "splay.rpc_common" ("rpc", { default_timeout = 60 })`
---@param mode "rpc"|"urpc"|"rpcq"
---@param settings splay.rpc.settings
---@return table module
---@return table core the native carrier
return function(mode, settings)
  local core = require("splay." .. mode .. "_core")
  core.settings(settings)
  local try, ping = core.try, core.ping

  local M = {
    --- Name of this kind of remote call: "rpc", "urpc" or "rpcq".
    ---
    --- `type(rpc.mode)  --> "string"`
    ---
    --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
    ---@type "rpc"|"urpc"|"rpcq"
    mode = mode,
    --- Settings, read at every call: `max` calls at the same time, `default_timeout` in seconds.
    ---
    --- `rpc.settings.default_timeout = 30`
    --- `rpc.settings.max = 100`
    ---
    --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
    ---@type splay.rpc.settings
    settings = settings,
  }

  --- Calls a function of another node, or reads a variable there. The name is a path of names and
  --- keys (`"ring.next"`, `"t[1]"`), never code. Instead of a node, address and port may be two
  --- arguments.
  ---
  --- ```lua
  --- function add(a, b) return a + b end
  --- rpc.server(20100)
  --- local node = { ip = "127.0.0.1", port = 20100 }
  --- rpc.acall(node, { "add", 1, 2 })  --> true, { 3 }
  --- rpc.acall(node, { "gone", 1 })    --> false, "calling a variable with parameters: gone"
  --- ```
  ---
  --- Errors: `false, "reason"` with "timeout", "connection refused" and others, or the text of an
  --- error that the function raised; see [errors](../errors.md).
  --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
  ---@async
  ---@overload fun(ip: string, port: integer, call: any, timeout?: number): boolean, any
  ---@param node splay.Node|string node, or an address (then the port comes next)
  ---@param call string|any[] name, or an array of the name and the arguments
  ---@param timeout number? seconds, `settings.default_timeout` if absent
  ---@return boolean ok whether there is an answer
  ---@return any[]|string results array of the results, or the reason
  M.acall = core.acall

  M.a_call = M.acall

  --- As `acall`, but returns the results themselves. A call that fails cannot be told from a
  --- function that returned nil and a text.
  ---
  --- ```lua
  --- function add(a, b) return a + b end
  --- rpc.server(20100)
  --- local node = { ip = "127.0.0.1", port = 20100 }
  --- rpc.call(node, { "add", 1, 2 })  --> 3
  --- ```
  ---
  --- Errors: `nil, "reason"` with "timeout", "connection refused" and others, or the text of an
  --- error that the function raised; see [errors](../errors.md).
  --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
  ---@async
  ---@overload fun(ip: string, port: integer, call: string|any[], timeout?: number): any
  ---@param node splay.Node|string node, or an address (then the port comes next)
  ---@param call string|any[] name, or an array of the name and the arguments
  ---@param timeout number? seconds, `settings.default_timeout` if absent
  ---@return any ... the results, or nil, "reason"
  M.call = core.call

  --- Measures the time to another node and back.
  ---
  --- ```lua
  --- function add(a, b) return a + b end
  --- rpc.server(20100)
  --- local node = { ip = "127.0.0.1", port = 20100 }
  --- rpc.ping(node)  --> such as 0.0002
  --- ```
  ---
  --- Errors: `nil, "reason"`: "timeout", "connection refused" and others.
  --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
  ---@async
  ---@overload fun(ip: string, port: integer, timeout?: number): number?, string?
  ---@param node splay.Node|string node, or an address (then the port comes next)
  ---@param timeout number? seconds, `settings.default_timeout` if absent
  ---@return number? seconds nil, "reason" if it does not answer
  ---@return string? reason
  M.ping = ping

  --- Answers the calls of other nodes, in threads of its own, until `stop_server`.
  ---
  --- `rpc.server(20101)  --> true`
  --- `rpc.server(20101)  --> nil, "address already in use"`
  ---
  --- Errors: `nil, "reason"`: "address already in use" and others of the network.
  --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
  ---@param port integer|string|splay.Node port, or the node that is to be served
  ---@param max integer? connections at the same time, as many as there are if absent (TCP only)
  ---@param backlog integer? connections that may wait to be accepted (TCP only)
  ---@return true? ok nil, "reason" if the port cannot be bound
  ---@return string? reason
  M.server = core.server

  --- Stops serving; ports that are not served are ignored.
  ---
  --- `rpc.server(20102)`
  --- `rpc.stop_server(20102)`
  ---
  --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
  ---@param port integer|string|splay.Node port, or the node that was served
  M.stop_server = core.stop_server

  --- As `acall`, but returns the results themselves, and raises an error where there are none.
  ---
  --- ```lua
  --- function add(a, b) return a + b end
  --- rpc.server(20100)
  --- local node = { ip = "127.0.0.1", port = 20100 }
  --- rpc.ecall(node, { "add", 1, 2 })  --> 3
  --- rpc.ecall(node, { "error", "no" })  --> error no
  --- ```
  ---
  --- Errors: raises the reason that `acall` returns.
  --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
  ---@async
  ---@overload fun(ip: string, port: integer, call: string|any[], timeout?: number): any
  ---@param node splay.Node|string node, or an address (then the port comes next)
  ---@param call string|any[] name, or an array of the name and the arguments
  ---@param timeout number? seconds, `settings.default_timeout` if absent
  ---@return any ... the results
  function M.ecall(...)
    return results(2, try(...))
  end

  --- Makes an object whose methods are remote functions: results or an error raised. Its field
  --- `timeout` may be set.
  ---
  --- ```lua
  --- function add(a, b) return a + b end
  --- rpc.server(20100)
  --- local node = { ip = "127.0.0.1", port = 20100 }
  --- rpc.proxy(node):add(1, 2)  --> 3
  --- ```
  ---
  --- Errors: none; its methods raise as `ecall` does.
  --- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
  ---@param node splay.Node|string node, or an address followed by a port
  ---@param port? integer
  ---@return table proxy
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
