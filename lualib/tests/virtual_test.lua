local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local events = require "splay.events"
local misc = require "splay.misc"

-- The clocks of the two drivers differ in what they show, not in how they agree.
describe("clocks", function()
  it("of the system and of the libraries are one", function()
    local before, system = misc.time(), os.time()
    events.sleep(2)
    expect(misc.time() - before).at_least(1.99)
    expect(os.time() - system).at_least(1)
    expect(math.abs(os.time() - misc.time())).at_most(1.5)
  end)

  it("convert dates both ways", function()
    for _, time in ipairs { 0, 951782400, 951868799, 1709164800, 4102444799 } do
      expect(os.time(os.date("*t", time))).equal(time)
    end
  end)

  it("carry what is too large for a field", function()
    local first = os.time { year = 2001, month = 1, day = 1, hour = 0 }
    expect(os.time { year = 2000, month = 13, day = 1, hour = 0 }).equal(first)
    expect(os.time { year = 2000, month = 12, day = 31, hour = 24 }).equal(first)
    expect(os.time { year = 2000, month = 12, day = 31, hour = 23, min = 60 }).equal(first)
    expect(function() os.time { year = 2000, month = 1 } end).errors("field 'day' missing")
  end)
end)

test.run()
