--- For programs run by hand, outside of a deployment: a made-up job, arguments, printing.
---
--- Since: 0.1
--- Manual: 'splay.utils'
local M = {}

local by_call = { __call = function(nodes) return nodes end }

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
function M.generate_job(position, nb_nodes, first_port, list_size, random)
  position, nb_nodes = tonumber(position), tonumber(nb_nodes) or 50
  if not position then error("generate_job: position is not a number", 2) end
  first_port = tonumber(first_port) or 20000
  local nodes = {}
  for i = 1, nb_nodes do
    if not random or i ~= position then
      nodes[#nodes + 1] = { ip = "127.0.0.1", port = first_port + i - 1 }
    end
  end
  list_size = math.min(tonumber(list_size) or nb_nodes, #nodes)
  if random then nodes = require("splay.misc").random_pick(nodes, list_size) end
  for i = #nodes, list_size + 1, -1 do nodes[i] = nil end
  setmetatable(nodes, by_call)
  return {
    ref = "local",
    me = { ip = "127.0.0.1", port = first_port + position - 1 },
    position = position,
    total = nb_nodes,
    list_type = random and "random" or "head",
    nodes = nodes,
    get_live_nodes = function() return nodes end,
  }
end

--- The `name=value` arguments of the command line.
---
--- `utils.args().port  --> "20000"` after `splay lua app.lua port=20000`
---
--- `utils.args({ "port=20000" }).port  --> "20000"`
---@param list string[]? default: the global `arg`
---@return table<string, string>
function M.args(list)
  local named = {}
  for _, text in ipairs(list or _G.arg or {}) do
    local name, value = text:match("^%-*([^=]+)=(.*)$")
    if name then named[name] = value end
  end
  return named
end

--- The number of elements of a table, whatever their keys.
---
--- `utils.size({1, a = 2})  --> 2`
---@param t table
---@return integer
function M.size(t) return require("splay.misc").size(t) end

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    if type(a) == "number" and type(b) == "number" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

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
function M.print_r(value, indent)
  local path = {}
  local function walk(t, margin)
    path[t] = true
    for _, k in ipairs(sorted_keys(t)) do
      local v = t[k]
      local head = ("%s[%s] "):format(margin, tostring(k))
      if type(v) ~= "table" then
        print(head .. tostring(v))
      elseif path[v] then
        print(head .. "table: (contains this one)")
      else
        print(head .. "table:")
        walk(v, margin .. "  ")
      end
    end
    path[t] = nil
  end
  indent = indent or ""
  if type(value) == "table" then walk(value, indent) else print(indent .. tostring(value)) end
end
M.pr = M.print_r

--- Prints the names of the loaded modules.
---
--- `utils.package() -- prints splay.base and others`
function M.package()
  for _, name in ipairs(sorted_keys(package.loaded)) do print(name) end
end
M.pk = M.package

--- Collects garbage, then prints the memory Lua uses, or returns it.
---
--- `utils.mem(true)  --> such as 123.4`
---@param ret boolean? return instead of print
---@return number? kilobytes
function M.mem(ret)
  collectgarbage()
  local kilobytes = collectgarbage("count")
  if ret then return kilobytes end
  print(("%.1f KB"):format(kilobytes))
end

return M
