-- The files of a store's directory, as a crash leaves them. Not in the sandbox, where a program has
-- no way to them.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local objstore = require "splay.objstore"

local folder = os.tmpname()
os.remove(folder)

local function files(pattern)
  local found = {}
  for name in io.popen("ls " .. folder):lines() do -- splay: allow(blocks)
    if name:match(pattern) then found[#found + 1] = name end
  end
  return found
end

describe("a directory", function()
  it("is cut where it is torn and refused where it is damaged", function()
    local store = assert(objstore.open { directory = folder })
    store:write_full("first", "first")
    store:write_full("second", "second")
    store:close()
    local name = folder .. "/" .. files("^objects%.%x+$")[1]
    local file = io.open(name, "rb")
    local log = file:read("*a")
    file:close()
    local function put(text)
      local f = io.open(name, "wb")
      f:write(text)
      f:close()
    end
    put(log:sub(1, -3))
    store = assert(objstore.open { directory = folder })
    expect(store:read("first")).equal("first")
    expect(store:read("second")).is_nil()
    store:close()
    local at = log:find("first", 1, true)
    put(log:sub(1, at - 1) .. "F" .. log:sub(at + 1))
    local none, reason = objstore.open { directory = folder }
    expect(none).is_nil()
    expect(reason).matches("is damaged at byte %d+")
    put(log)
    store = assert(objstore.open { directory = folder })
    expect(store:read("second")).equal("second")
    store:close()
  end)

  it("must be one", function()
    local store, reason = objstore.open { directory = "/dev/null" }
    expect(store).is_nil()
    expect(reason).matches("^make the folder `/dev/null`")
    os.execute("rm -r '" .. folder .. "'") -- splay: allow(blocks)
  end)
end)

test.run()
