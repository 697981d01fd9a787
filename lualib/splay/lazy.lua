--- Modules that are loaded when they are first used: many an instance never logs or opens a
--- socket of its own, and there may be thousands.

--- Makes a table that stands for a module and reads and writes its fields.
---
--- `return require "splay.lazy" "splay.log_main"`
---@param name string of the module
---@return table
return function(name)
  local stub = {}
  local function module()
    local real = require(name)
    setmetatable(stub, { __index = real, __newindex = real })
    return real
  end
  return setmetatable(stub, {
    __index = function(_, key) return module()[key] end,
    __newindex = function(_, key, value) module()[key] = value end,
  })
end
