local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

describe("a ring", function()
  it("closes", function()
    local nodes = { 1, 2, 3, 4 }
    expect(#nodes).equal(5)
  end)
end)

test.run()
