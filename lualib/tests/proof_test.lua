-- Tests of splay.proof.
require "splay.base"
local proof = require "splay.proof"
local rpc = require "splay.urpc"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local node = { ip = "127.0.0.1", port = 24731 }
local silent = { ip = "127.0.0.1", port = 24732 }

function proof_double(x) return 2 * x end

describe("each", function()
  it("works at the same time, results at their index", function()
    local start = misc.time()
    local squares = proof.each({ 1, 2, 3, 4 }, function(x, i)
      events.sleep(0.1)
      if i ~= 3 then return x * x end
    end)
    expect(misc.time() - start).at_most(0.35)
    expect(squares).same({ 1, 4, nil, 16 })
    expect(proof.each({}, error)).same({})
  end)

  it("keeps to a width", function()
    local inside, most = 0, 0
    proof.each({ 1, 2, 3, 4, 5, 6, 7 }, function()
      inside = inside + 1
      most = math.max(most, inside)
      events.sleep(0.01)
      inside = inside - 1
    end, 3)
    expect(most).equal(3)
    expect(inside).equal(0)
  end)

  it("hands on an error", function()
    expect(function()
      proof.each({ 1, 2 }, function(x) if x == 2 then error("two is bad", 0) end end)
    end).errors("^two is bad$")
  end)
end)

describe("ask and alive", function()
  it("tell who answers", function()
    expect(rpc.server(node.port)).truthy()
    local answers, count = proof.ask(rpc, { silent, node, node }, { "proof_double", 4 }, 0.5)
    expect(answers[1]).is_nil()
    expect(answers[2]).equal(8)
    expect(answers[3]).equal(8)
    expect(count).equal(2)
    expect(proof.alive(rpc, { silent, node }, 0.5)).same({ node })
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
