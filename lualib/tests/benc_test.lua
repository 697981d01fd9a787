local test = require "splay.test"
local benc = require "splay.benc"
local describe, it, expect = test.describe, test.it, test.expect

describe("benc", function()
  it("writes the bytes older nodes write", function()
    expect(benc.encode(nil)).equal("n")
    expect(benc.encode({})).equal("le")
    expect(benc.encode({ "echo", 1, "two" })).equal("l4:echoi1e3:twoe")
    expect(benc.encode({ type = "call", call = { "echo", 1, "two" } }))
      .equal("d4:calll4:echoi1e3:twoe4:type4:calle")
    expect(benc.encode({ 1, nil, 3 })).equal("di1ei1ei3ei3ee")
    expect(benc.encode(0.00000015)).equal("i0.00000015e")
    expect(benc.encode(2 ^ 53)).equal("i9007199254740992e")
    expect(benc.encode({ [true] = "x" })).equal("dt1:xe")
  end)

  it("reads what older nodes write", function()
    expect(benc.decode("d4:type4:call4:calll4:echoi1e3:twoee"))
      .same { type = "call", call = { "echo", 1, "two" } }
    expect(benc.decode("di1e1:ai3e1:ce")).same { "a", nil, "c" }
    expect(benc.decode("l1:ani2ee")).same { "a", 2 }
    expect(benc.decode("d1:ane")).same {}
    expect(benc.decode("i1etrailing")).equal(1)
    expect(benc.decode("iinfe")).equal(math.huge)
    expect(select(2, benc.decode("5:helloworld"))).equal(7)
  end)

  it("brings values back", function()
    local value = {
      "text\0\255", 0.1, -7, 1e300, true, false, {}, { nested = { deep = { 1, 2, 3 } } },
      [1.5] = "fraction", [-1] = "negative", [false] = "boolean", key = "string",
    }
    expect(benc.decode(benc.encode(value))).same(value)
    expect(benc.decode(benc.encode(""))).equal("")
  end)

  it("raises errors for what it cannot encode", function()
    local cycle = {}
    cycle.cycle = cycle
    expect(function() benc.encode(print) end).errors("cannot encode a function value")
    expect(function() benc.encode({ { f = print } }) end).errors("cannot encode a function value")
    expect(function() benc.encode(coroutine.create(print)) end).errors("a thread value")
    expect(function() benc.encode(cycle) end).errors("cyclic")
    expect(function() benc.encode() end).errors("value expected")
  end)

  it("raises errors for what it cannot decode", function()
    local hostile = { "", "i5", "5:ab", "l", "d1:a", "x", "ie", "dn1:xe", "d1:ae" }
    hostile[#hostile + 1] = ("l"):rep(60000)
    for _, bytes in ipairs(hostile) do
      expect(function() benc.decode(bytes) end).errors("corrupted data")
    end
    expect(function() benc.decode({}) end).errors("string expected")
  end)
end)

test.run()
