--- Nodes as the job's list has them, `{ip, port}` and perhaps more: their names, and arrays of
--- them. Two tables with the same address are the same node.
---
--- Since: 0.1
local M = {}

--- A node's address as text, to be a key of tables.
---
--- `nodes.name({ ip = "127.0.0.1", port = 20001 })  --> "127.0.0.1:20001"`
---@param node splay.Node
---@return string
function M.name(node) return node.ip .. ":" .. node.port end

--- Whether two nodes have the same address.
---
--- `nodes.same(job.nodes[1], job.me)  --> true`
---@param a splay.Node
---@param b splay.Node
---@return boolean
function M.same(a, b) return a.port == b.port and a.ip == b.ip end

--- Where a node is in an array.
---
--- `nodes.find(job.nodes, { ip = "127.0.0.1", port = 20003 })  --> 3`
---@param list splay.Node[]
---@param node splay.Node
---@return integer? index nil if it is not there
function M.find(list, node)
  for i = 1, #list do
    if M.same(list[i], node) then return i end
  end
end

--- Takes a node out of an array.
---
--- `local view = { { ip = "127.0.0.1", port = 20007, age = 4 } }`
--- `nodes.remove(view, { ip = "127.0.0.1", port = 20007 }).age  --> 4`
---@param list splay.Node[]
---@param node splay.Node
---@return splay.Node? removed as it was in the array, nil if it was not
function M.remove(list, node)
  local i = M.find(list, node)
  return i and table.remove(list, i)
end

--- A new array without some nodes.
---
--- `#nodes.without(job.nodes, job.me)  --> 2`
---@param list splay.Node[]
---@param ... splay.Node
---@return splay.Node[]
function M.without(list, ...)
  local rest, n = {}, select("#", ...)
  for _, node in ipairs(list) do
    local unwanted = false
    for i = 1, n do unwanted = unwanted or M.same(node, (select(i, ...))) end
    if not unwanted then rest[#rest + 1] = node end
  end
  return rest
end

return M
