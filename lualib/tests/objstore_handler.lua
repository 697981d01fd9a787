-- How the tests of `splay.objstore` run the body of a handler on an object.
local objstore = require "splay.objstore"

local M = { store = objstore.open() }
local fresh = 0

-- A new object's name.
function M.new()
  fresh = fresh + 1
  return "object " .. fresh
end

-- Runs the body of a handler on an object: ret, output, log.
function M.run(oid, body, input)
  local script = "function handler(input, output) " .. body .. "\nend\ncls.register(handler)"
  return M.store:exec(oid, script, "handler", input)
end

-- What it returned.
function M.ret(oid, body, input) return (M.run(oid, body, input)) end

-- What bodies may call: `bl` makes a bufferlist of a string, `say` puts values out.
M.helpers = [[
  local function bl(text) local b = bufferlist.new() b:append(text) return b end
  local function say(...)
    for i = 1, select("#", ...) do
      local v = select(i, ...)
      output:append((i > 1 and "|" or "") .. (type(v) == "userdata" and v:str() or tostring(v)))
    end
  end
]]

-- What a body that has them says.
function M.told(oid, body, input)
  local _, output = M.run(oid, M.helpers .. body, input)
  return output
end

return M
