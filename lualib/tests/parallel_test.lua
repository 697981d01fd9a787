-- Tests of splay.parallel.
require "splay.base"
local parallel = require "splay.parallel"
local rpc = require "splay.urpc"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

local node = { ip = "127.0.0.1", port = 24733 }
local silent = { ip = "127.0.0.1", port = 24734 }

function double(x) return 2 * x end

describe("each", function()
  it("works at the same time, results at their index", function()
    local start = misc.time()
    local squares = parallel.each({ 1, 2, 3, 4 }, function(x, i)
      events.sleep(0.1)
      if i ~= 3 then return x * x end
    end)
    expect(misc.time() - start).at_most(0.35)
    expect(squares).same({ 1, 4, nil, 16 })
    expect(parallel.each({}, error)).same({})
  end)

  it("keeps to a width", function()
    local inside, most = 0, 0
    parallel.each({ 1, 2, 3, 4, 5, 6, 7 }, function()
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
      parallel.each({ 1, 2 }, function(x) if x == 2 then error("two is bad", 0) end end)
    end).errors("^two is bad$")
  end)
end)

describe("times", function()
  it("runs so many threads", function()
    local inside, most = 0, 0
    local squares = parallel.times(70, function(i)
      inside = inside + 1
      most = math.max(most, inside)
      events.sleep(0.01)
      return i * i
    end)
    expect(most).equal(70)
    expect(squares[70]).equal(4900)
    expect(parallel.times(0, error)).same({})
  end)
end)

describe("ask", function()
  it("tells what each answers", function()
    expect(rpc.server(node.port)).truthy()
    local answers, count = parallel.ask(rpc, { silent, node, node }, { "double", 4 }, 0.5)
    expect(answers[1]).is_nil()
    expect(answers[2]).equal(8)
    expect(answers[3]).equal(8)
    expect(count).equal(2)
    rpc.stop_server(node.port)
  end)
end)

test.run()
