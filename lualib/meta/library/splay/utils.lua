---@meta splay.utils
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.utils
local M = {}

--- The `job` an instance would receive when deployed, for nodes on this machine at consecutive
--- ports. `nodes` is an array that can also be called.
---
--- ```lua
--- job = utils.generate_job(2, 50, 20001)
--- job.me        --> { ip = "127.0.0.1", port = 20002 }
--- #job.nodes()  --> 50
--- ```
---
--- Errors: raises unless the position is a number.
--- Manual: 'splay.utils'
---@param position integer this instance, from 1
---@param nb_nodes integer? default 50
---@param first_port integer? default 20000
---@param list_size integer? nodes in the list, default all
---@param random boolean? list random other nodes, never oneself, instead of the first ones
---@return table job
function M.generate_job(position, nb_nodes, first_port, list_size, random) end

--- The `name=value` arguments of the command line.
---
--- `utils.args().port  --> "20000"` after `splay lua app.lua port=20000`
---
--- `utils.args({ "port=20000" }).port  --> "20000"`
---@param list string[]? default: the global `arg`
---@return table<string, string>
function M.args(list) end

--- The number of elements of a table, whatever their keys.
---
--- `utils.size({1, a = 2})  --> 2`
---@param t table
---@return integer
function M.size(t) end

--- Prints a value; tables with all that is in them.
---
--- ```lua
--- utils.print_r({ 1, a = { 2 } })
--- --> prints [1] 1
--- --> [a] table:
--- -->   [1] 2
--- ```
---@param value any
---@param indent string?
function M.print_r(value, indent) end

M.pr = M.print_r

--- Prints the names of the loaded modules.
---
--- `utils.package() -- prints splay.base and others`
function M.package() end

M.pk = M.package

--- Collects garbage, then prints the memory Lua uses, or returns it.
---
--- `utils.mem(true)  --> such as 123.4`
---@param ret boolean? return instead of print
---@return number? kilobytes
function M.mem(ret) end

return M
