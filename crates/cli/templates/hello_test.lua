-- Run: splay test hello_test.lua     (in virtual time: sleeping costs nothing)
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local app = require "hello"

describe("greeting", function()
  it("tells the position and the number of instances", function()
    job = { position = 2, nodes = { {}, {}, {} } }
    expect(app.greeting()).equal("hello, I am instance 2 of 3")
  end)
end)

describe("tick", function()
  it("counts, one period apart", function()
    local said, start = {}, misc.time()
    expect(app.tick(function(text) said[#said + 1] = text end)).equal(app.ticks)
    expect(said).same({ "tick 1", "tick 2", "tick 3" })
    expect(misc.time() - start).near(app.ticks * app.period, 0.1)
  end)
end)

test.run()
