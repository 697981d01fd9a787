--- What the socket wrappers of `splay.llenc`, `splay.benc` and `splay.json` have in common.

local getmetatable, rawget, setmetatable, type = getmetatable, rawget, setmetatable, type

local M = {}

--- Makes a kind of wrapper. Its objects have the given methods, the wrapped object as `super`
--- and forward everything else to it.
---
--- `wrapped.class("#UP", { send = function(s, t) return s.super:send(t:upper()) end })`
---@param label string starts what `tostring` shows
---@param methods table<string, function> called with the wrapper as first argument
---@return fun(object: table): table wrap leaves an object that is already of this kind as it is
---@return fun(object: any): boolean is_wrapped tells whether an object is of this kind
function M.class(label, methods)
  local meta = {}

  function meta.__index(self, key)
    local value = methods[key]
    if value ~= nil then return value end
    local super = rawget(self, "super")
    value = super[key]
    if type(value) ~= "function" then return value end
    return function(object, ...)
      if object == self then object = super end
      return value(object, ...)
    end
  end

  function meta.__tostring(self)
    return label .. ": " .. tostring(self.super)
  end

  local function is_wrapped(object)
    return getmetatable(object) == meta
  end

  local function wrap(object)
    return is_wrapped(object) and object or setmetatable({ super = object }, meta)
  end

  return wrap, is_wrapped
end

return M
