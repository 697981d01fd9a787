-- Run: splay test rpc_test.lua     (in virtual time, on a simulated network)
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local rpc = require "splay.rpc"
local app = require "rpc"

local me = { ip = "127.0.0.1", port = 20001 }
job = { me = me, position = 1, nodes = { me } }

describe("a node", function()
  test.before_each(function() assert(rpc.server(me)) end)
  test.after_each(function() rpc.stop_server(me) end)

  it("counts the calls it gets", function()
    expect(app.ask(me)).equal("instance 1 has counted 1 for me")
    expect(app.ask(me)).equal("instance 1 has counted 2 for me")
  end)

  it("tells its caller what is wrong", function()
    local ok, reason = rpc.acall(me, { "add", "many" })
    expect(ok).is_false()
    expect(reason).contains("a number is wanted")
  end)
end)

it("a node that is not there is told of", function()
  expect(app.ask({ ip = "127.0.0.1", port = 20002 })).contains("127.0.0.1:20002 did not answer")
end)

test.run()
