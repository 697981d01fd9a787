---@meta splay.urpc
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.urpc.settings: splay.rpc.settings
---@field retry_number integer retransmissions, spread evenly over the timeout
---@field cleaning_after number seconds for which a server remembers an answered call

---@class splay.urpc
---@field l_o splay.log.Object the module's log object, with level 3
local M = {}

--- Number of calls made.
---
--- `urpc.stats()  --> such as 3`
---@return integer
function M.stats() end

--- Describes the module's activity.
---
--- `urpc.infos()  --> such as "Number of URPCs: 3"`
---@return string
function M.infos() end

--- Makes a key that no other call has.
---
--- `#urpc.get_key()  --> 40`
---@return string
function M.get_key() end

--- Name of this kind of remote call: "rpc", "urpc" or "rpcq".
---
--- `type(rpc.mode)  --> "string"`
---
--- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
---@type "rpc"|"urpc"|"rpcq"
M.mode = nil

--- Settings, read at every call: `max` calls at the same time, `default_timeout` in seconds.
---
--- `rpc.settings.default_timeout = 30`
--- `rpc.settings.max = 100`
---
--- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
---@type splay.rpc.settings
M.settings = nil

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
function M.acall(node, call, timeout) end

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
function M.call(node, call, timeout) end

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
function M.ping(node, timeout) end

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
function M.server(port, max, backlog) end

--- Stops serving; ports that are not served are ignored.
---
--- `rpc.server(20102)`
--- `rpc.stop_server(20102)`
---
--- Manual: 'splay.rpc, splay.urpc and splay.rpcq'
---@param port integer|string|splay.Node port, or the node that was served
function M.stop_server(port) end

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
function M.ecall(node, call, timeout) end

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
function M.proxy(node, port) end

return M
