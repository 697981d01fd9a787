local test = require "splay.test"
local bits = require "splay.bits"
local data_bits = require "splay.data_bits"
local describe, it, expect = test.describe, test.it, test.expect

describe("bits", function()
  it("are made false", function()
    local b = {}
    bits.init(b, 3)
    expect(b).same { false, false, false }
    bits.set(b, 2)
    expect(b).same { false, true, false }
    expect(bits.size(b)).equal(3)
    expect(bits.count(b)).equal(1)
    expect(bits.is_set(b, 2)).is_true()
    expect(bits.is_set(b, 1)).is_false()
    expect(bits.is_set(b, 9)).is_false()
  end)

  it("become strings and tables", function()
    expect(bits.ascii_to_bits("\5")).same { false, false, false, false, false, true, false, true }
    expect(bits.ascii_to_bits("\192\1", 3)).same { true, true, false }
    expect(bits.ascii_to_bits(nil)).is_nil()
    expect(bits.bits_to_ascii({ true, true })).equal("\192")
    expect(bits.bits_to_ascii({})).equal("")
    for _, s in ipairs { "", "a", "hello\0\255" } do
      expect(bits.bits_to_ascii(bits.ascii_to_bits(s))).equal(s)
    end
  end)

  it("are shown", function()
    expect(bits.show_bits("\5\128")).equal("00000101 10000000 ")
    expect(bits.show_bits({ true, false, true })).equal("101")
  end)

  it("are counted in strings", function()
    expect(bits.size("ab")).equal(16)
    expect(bits.count("\255\1")).equal(9)
    expect(bits.is_set("\128\1", 1)).is_true()
    expect(bits.is_set("\128\1", 16)).is_true()
    expect(bits.is_set("\128\1", 2)).is_false()
    expect(bits.is_set("\128\1", 17)).is_false()
    expect(bits.is_set("\128\1", 0)).is_false()
  end)
end)

describe("data_bits", function()
  it("combines strings", function()
    expect(data_bits.dnot("\0\240")).equal("\255\15")
    expect(data_bits.dor("\1\0", "\2\128")).equal("\3\128")
    expect(data_bits.dand("\3\255", "\2\129")).equal("\2\129")
    expect(data_bits.cardinality("\255\1\0")).equal(9)
    for _, f in ipairs { data_bits.dor, data_bits.dand } do
      local result, err = f("a", "ab")
      expect(result).is_nil()
      expect(err).equal("length of strings is not equal")
    end
  end)

  it("reads and changes bits, the lowest first", function()
    local s = data_bits.set_bit("\0\0", 9)
    expect(s).equal("\0\2")
    expect(data_bits.get_bit(s, 9)).equal(1)
    expect(data_bits.get_bit(s, 8)).equal(0)
    expect(data_bits.unset_bit("\255", 0)).equal("\254")
    for _, position in ipairs { -1, 8, 0.5, 1e300, 0 / 0 } do
      for _, f in ipairs { data_bits.get_bit, data_bits.set_bit, data_bits.unset_bit } do
        local result, err = f("a", position)
        expect(result).is_nil()
        expect(err).equal("invalid position")
      end
    end
  end)

  it("is read from positions", function()
    expect(data_bits.from_string("16 0 9")).equal("\1\2")
    expect(data_bits.from_string("3")).equal("\0")
    expect(select(2, data_bits.from_string("8 8"))).equal("invalid position")
    expect(select(2, data_bits.from_string("8 x"))).equal("invalid position")
    expect(select(2, data_bits.from_string(""))).equal("invalid number of bits")
    expect(select(2, data_bits.from_string("99999999999999"))).equal("invalid number of bits")
  end)

  it("is packed and unpacked", function()
    for _, s in ipairs { "", "\0\0\0", "\1\0\0", "\1\2\3", "\0\4\0" } do
      local packed = data_bits.pack(s)
      expect(#packed).at_most(#s)
      expect(data_bits.unpack(packed, #s)).equal(s)
    end
    expect(data_bits.pack("\1\0\0")).equal("\1")
    expect(data_bits.unpack("abc", 2)).is_nil()
    expect(data_bits.unpack("abc", 1e15)).is_nil()
  end)
end)

test.run()
