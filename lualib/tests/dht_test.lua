-- Tests of splay.dht.
local dht = require "splay.dht"
local crypto = require "crypto"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

describe("identifiers", function()
  it("are the first bits of a digest", function()
    expect(dht.hex_id("abc")).equal("a9993e364706816aba3e25717850c26c9cd0d89d")
    expect(dht.hex_id("abc", 128)).equal("a9993e364706816aba3e25717850c26c")
    expect(dht.id("abc", 16)).equal(0xa999)
    expect(dht.id("abc", 3)).equal(5)
    expect(dht.id("abc", 1)).equal(1)
    expect(dht.id("abc")).equal(0xa9993e3647)
    expect(dht.id("abc", 52)).equal(0xa9993e3647068)
  end)

  it("are those of a node's address", function()
    local node = { ip = "127.0.0.1", port = 20001, id = "of no account" }
    expect(dht.hex_id(node)).equal(crypto.evp.digest("sha1", "127.0.0.1:20001"))
    expect(dht.id(node, 40)).equal(dht.id("127.0.0.1:20001", 40))
  end)

  it("of impossible sizes are misuse", function()
    expect(function() dht.hex_id("abc", 164) end).errors("4 to 160 bits")
    expect(function() dht.hex_id("abc", 6) end).errors("multiple of 4")
    expect(function() dht.id("abc", 53) end).errors("1 to 52 bits")
  end)

  it("are random", function()
    local a, b = dht.random_id(), dht.random_id(128)
    expect(a).matches("^" .. ("[0-9a-f]"):rep(40) .. "$")
    expect(#b).equal(32)
    expect(a:sub(1, 32)).never.equal(b)
  end)
end)

describe("ring", function()
  it("has open intervals", function()
    expect(dht.between(3, 2, 5)).is_true()
    expect(dht.between(2, 2, 5)).is_false()
    expect(dht.between(5, 2, 5)).is_false()
    expect(dht.between(1, 250, 5)).is_true()
    expect(dht.between(251, 250, 5)).is_true()
    expect(dht.between(100, 250, 5)).is_false()
    expect(dht.between(4, 7, 7)).is_true()
    expect(dht.between(7, 7, 7)).is_false()
    expect(dht.between("01", "fa", "05")).is_true()
    expect(dht.between("fa", "fa", "05")).is_false()
  end)

  it("is measured upwards and the shorter way", function()
    expect(dht.distance(250, 5, 8)).equal(11)
    expect(dht.distance(5, 250, 8)).equal(245)
    expect(dht.ring_distance(250, 5, 8)).equal(11)
    expect(dht.ring_distance(5, 250, 8)).equal(11)
    expect(dht.distance("fa", "05")).equal("0b")
    expect(dht.distance("05", "fa")).equal("f5")
    expect(dht.ring_distance("05", "fa")).equal("0b")
    expect(dht.distance("07", "07")).equal("00")
  end)

  it("borrows across the parts of long identifiers", function()
    local one = ("0"):rep(39) .. "1"
    expect(dht.distance(one, ("0"):rep(40))).equal(("f"):rep(40))
    expect(dht.distance(("0"):rep(40), one)).equal(one)
    expect(dht.distance(one, "1" .. ("0"):rep(39))).equal("0" .. ("f"):rep(39))
    expect(dht.distance("0fffffffffffff", "10000000000000")).equal("00000000000001")
  end)

  it("measures numbers and digits alike", function()
    for i = 1, 200 do
      local a, b = dht.id("a" .. i, 52), dht.id("b" .. i, 52)
      local x, y = dht.hex_id("a" .. i, 52), dht.hex_id("b" .. i, 52)
      expect(tonumber(dht.distance(x, y), 16)).equal(dht.distance(a, b, 52))
      expect(tonumber(dht.ring_distance(x, y), 16)).equal(dht.ring_distance(a, b, 52))
      expect(tonumber(dht.xor(x, y), 16)).equal(dht.xor(a, b))
      local z = dht.hex_id("c" .. i, 52)
      expect(dht.between(z, x, y)).equal(dht.between(dht.id("c" .. i, 52), a, b))
    end
  end)
end)

describe("xor", function()
  it("is a metric", function()
    expect(dht.xor(6, 3)).equal(5)
    expect(dht.xor(2 ^ 40 + 6, 3)).equal(2 ^ 40 + 5)
    expect(dht.xor(2 ^ 32 - 1, 0)).equal(2 ^ 32 - 1)
    expect(dht.xor("0f06", "0003")).equal("0f05")
    for _ = 1, 100 do
      local a, b = dht.random_id(), dht.random_id()
      expect(dht.xor(a, a)).equal(("0"):rep(40))
      expect(dht.xor(a, b)).equal(dht.xor(b, a))
      expect(dht.xor(a, dht.xor(a, b))).equal(b)
    end
  end)

  it("sorts nodes", function()
    local nodes = { { id = 1 }, { id = 9 }, { id = 6 } }
    expect(dht.closest(nodes, 7, 2)).same({ { id = 6 }, { id = 1 } })
    expect(nodes[1].id).equal(1)
    local function metric(a, b) return dht.ring_distance(a, b, 4) end
    expect(dht.closest(nodes, 15, 1, metric)).same({ { id = 1 } })
    expect(#dht.closest(nodes, 0)).equal(3)
    expect(dht.closest({}, "00", 3)).same({})
  end)
end)

describe("digits", function()
  it("are read from the left", function()
    expect(dht.digit("a93e", 1)).equal(10)
    expect(dht.digit("a93e", 2)).equal(9)
    expect(dht.digit("a93e", 5)).is_nil()
  end)

  it("are compared with those of another", function()
    expect(dht.common_digits("a93e", "a97e")).equal(2)
    expect(dht.common_digits("a93e", "093e")).equal(0)
    expect(dht.common_digits("a93e", "a93e")).equal(4)
    expect(dht.common_bits("a93e", "a97e")).equal(9)
    expect(dht.common_bits("80", "00")).equal(0)
    expect(dht.common_bits("01", "00")).equal(7)
    expect(dht.common_bits("01", "01")).equal(8)
  end)
end)

test.run()
