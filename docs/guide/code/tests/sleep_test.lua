local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local events = require "splay.events"

describe("sleep", function()
  it("returns true", function()
    expect(events.sleep(3)).is_true()
  end)
end)

test.run()
