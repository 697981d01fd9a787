---@meta splay.nodes
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.nodes
local M = {}

--- A node's address as text, to be a key of tables.
---
--- `nodes.name({ ip = "127.0.0.1", port = 20001 })  --> "127.0.0.1:20001"`
---@param node splay.Node
---@return string
function M.name(node) end

--- Whether two nodes have the same address.
---
--- `nodes.same(job.nodes[1], job.me)  --> true`
---@param a splay.Node
---@param b splay.Node
---@return boolean
function M.same(a, b) end

--- Where a node is in an array.
---
--- `nodes.find(job.nodes, { ip = "127.0.0.1", port = 20003 })  --> 3`
---@param list splay.Node[]
---@param node splay.Node
---@return integer? index nil if it is not there
function M.find(list, node) end

--- Takes a node out of an array.
---
--- `local view = { { ip = "127.0.0.1", port = 20007, age = 4 } }`
--- `nodes.remove(view, { ip = "127.0.0.1", port = 20007 }).age  --> 4`
---@param list splay.Node[]
---@param node splay.Node
---@return splay.Node? removed as it was in the array, nil if it was not
function M.remove(list, node) end

--- A new array without some nodes.
---
--- `#nodes.without(job.nodes, job.me)  --> 2`
---@param list splay.Node[]
---@param ... splay.Node
---@return splay.Node[]
function M.without(list, ...) end

return M
