---@meta splay.out
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.out
local M = {}

--- A function that prints its argument on standard output at once.
---
--- `out.print()("hello")  --> prints hello`
---
--- Manual: 'splay.log (and splay.out)'
---@return fun(msg: any)
function M.print() end

--- A function that appends its argument to a file as a line.
---
--- ```lua
--- local l_o = log.new(1)
--- l_o.out = out.file("my_log.txt")
--- l_o:error("written")  --> true
--- ```
---
--- Errors: `nil, "reason"` if the file cannot be opened; "no file" without a name.
--- Manual: 'splay.log (and splay.out)'
---@param file_name string
---@return (fun(msg: any))? write nil, "reason" if the file cannot be opened
---@return string? reason
function M.file(file_name) end

--- A function that sends its argument as a line over one TCP connection; it may wait.
---
--- ```lua
--- net.server(20210, function(s) print(s:receive()) end)
--- out.network({ ip = "127.0.0.1", port = 20210 })("hello")
--- events.sleep(1)  --> prints hello
--- ```
---
--- Errors: `nil, "reason"` if nobody can be connected; "no ip and port" without an address.
--- Manual: 'splay.log (and splay.out)'
---@async
---@param ip string|table host, or a node
---@param port integer? unless `ip` is a node
---@return (fun(msg: any))? write nil, "reason" if nobody can be connected
---@return string? reason
function M.network(ip, port) end

return M
