-- Tests of splay.queue.
local queue = require "splay.queue"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

describe("queue", function()
  it("gives back in order", function()
    local q = queue.new()
    expect(q.empty()).is_true()
    expect(q.get()).is_nil()
    for i = 1, 1000 do q.insert(i) end
    expect(q.size()).equal(1000)
    for i = 1, 1000 do expect(q.get()).equal(i) end
    expect(q.empty()).is_true()
    expect(q.size()).equal(0)
    expect(q.get()).is_nil()
  end)

  it("mixes inserting and taking", function()
    local q, expected = queue.new(), 1
    for i = 1, 300 do
      q.insert(i)
      if i % 3 ~= 0 then
        expect(q.get()).equal(expected)
        expected = expected + 1
      end
    end
    expect(q.size()).equal(100)
    q.flush()
    expect(q.size()).equal(0)
    q.insert("again")
    expect(q.get()).equal("again")
  end)

  it("keeps false, and queues apart", function()
    local a, b = queue.new(), queue.new()
    a.insert(false)
    expect(b.empty()).is_true()
    expect(a.size()).equal(1)
    expect(a.get()).is_false()
  end)
end)

test.run()
