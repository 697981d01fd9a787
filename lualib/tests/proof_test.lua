-- Tests of splay.proof.
require "splay.base"
local proof = require "splay.proof"
local rpc = require "splay.urpc"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local node = { ip = "127.0.0.1", port = 24731 }
local silent = { ip = "127.0.0.1", port = 24732 }

describe("alive", function()
  it("is who answers", function()
    expect(rpc.server(node.port)).truthy()
    expect(proof.alive(rpc, 0.1, { silent, node }, 0.5)).same({ node })
    expect(proof.alive(rpc, 0, { node }, 0.5)).same({ node })
    local nodes, reason = proof.alive(rpc, 0, { silent, node }, 0.5)
    expect(nodes).is_nil()
    expect(reason).equal("1 of 2 nodes does not answer")
    rpc.stop_server(node.port)
  end)
end)

describe("judge", function()
  -- What is printed and given to os.exit.
  local function judged(position, settings)
    local old_job, old_exit, old_print = job, os.exit, print
    local printed, code
    job = { position = position, me = node, nodes = { node } }
    os.exit = function(c) code = c end
    print = function(text) printed = text end
    local ok, reason = pcall(proof.judge, settings)
    job, os.exit, print = old_job, old_exit, old_print
    expect(ok and "" or reason).equal("")
    return printed, code
  end

  it("prints the verdict once the property holds", function()
    local tries = 0
    local text, code = judged(1, {
      what = "ring", rpc = rpc, limit = 5, every = 0.05,
      property = function()
        tries = tries + 1
        return tries == 3, "try " .. tries
      end,
    })
    expect(text).equal("ring correct: try 3")
    expect(code).equal(0)
  end)

  it("gives up at the limit", function()
    local text, code = judged(1, {
      what = "ring", rpc = rpc, limit = 0.2, every = 0.05,
      property = function() return nil, "open at 7" end,
    })
    expect(text).equal("ring wrong: open at 7")
    expect(code).equal(1)
  end)

  it("leaves all running if asked to", function()
    local text, code = judged(1, {
      what = "ring", rpc = rpc, limit = 1, every = 0.01, stay = true,
      property = function() return true, "fine" end,
    })
    expect(text).equal("ring correct: fine")
    expect(code).is_nil()
  end)
end)

test.run()
