--- First-in first-out queues.
---
--- Since: 0.1
local M = {}

--- ```lua
--- local q = queue.new()
--- q.insert("a")
--- q.size()  --> 1
--- ```
---@class splay.queue
---@field insert fun(o: any) adds at the end
---@field get fun(): any takes the oldest; nil when empty
---@field size fun(): integer
---@field empty fun(): boolean
---@field flush fun() forgets all

--- A new queue, whose functions are called with a dot.
---
--- `local q = queue.new(); q.insert("a"); q.insert("b")`
--- `q.get()  --> "a"`
---@return splay.queue
function M.new()
  local first, last, items = 1, 0, {}
  local q = {}
  function q.insert(o)
    last = last + 1
    items[last] = o
  end
  function q.get()
    if first > last then return nil end
    local o = items[first]
    items[first] = nil
    first = first + 1
    if first > last then first, last = 1, 0 end
    return o
  end
  function q.size() return last - first + 1 end
  function q.empty() return first > last end
  function q.flush() first, last, items = 1, 0, {} end
  return q
end

return M
