local test = require "splay.test"
local cjson = require "cjson"
local safe = require "cjson.safe"
local describe, it, expect = test.describe, test.it, test.expect

describe("cjson.encode", function()
  it("writes scalars", function()
    expect(cjson.encode(nil)).equal("null")
    expect(cjson.encode(cjson.null)).equal("null")
    expect(cjson.encode(true)).equal("true")
    expect(cjson.encode(10 / 2)).equal("5")
    expect(cjson.encode(0.1 + 0.2)).equal("0.3")
    expect(cjson.encode(2 ^ 53)).equal("9.007199254741e+15")
    expect(cjson.encode('a"b\\c/d\n\1\127é')).equal([["a\"b\\c\/d\n\u0001\u007fé"]])
  end)

  it("writes tables", function()
    expect(cjson.encode({})).equal("{}")
    expect(cjson.encode({ 1, "two", { 3 } })).equal('[1,"two",[3]]')
    expect(cjson.encode({ 1, nil, 3 })).equal("[1,null,3]")
    expect(cjson.encode({ a = { b = false } })).equal('{"a":{"b":false}}')
    expect(cjson.encode({ [0] = 1 })).equal('{"0":1}')
    expect(cjson.encode({ [1.5] = 1 })).equal('{"1.5":1}')
  end)

  it("refuses what JSON cannot say", function()
    local cycle = {}
    cycle[1] = cycle
    for reason, value in pairs {
      ["Cannot serialise function: type not supported"] = { print },
      ["Cannot serialise table: excessively sparse array"] = { [1000] = 1 },
      ["Cannot serialise number: must not be NaN or Inf"] = { 0 / 0 },
      ["Cannot serialise boolean: table key must be a number or string"] = { [true] = 1 },
      ["Cannot serialise, excessive depth (1001)"] = cycle,
    } do
      expect(function() cjson.encode(value) end).errors((reason:gsub("[().,]", "%%%0")))
      local text, err = safe.encode(value)
      expect(text).is_nil()
      expect(err).equal(reason)
    end
    expect(function() cjson.encode() end).errors("expected 1 argument")
  end)
end)

describe("cjson.decode", function()
  it("reads scalars", function()
    expect(cjson.decode("null")).equal(cjson.null)
    expect(cjson.decode(" true ")).is_true()
    expect(cjson.decode("-12.5e1")).equal(-125)
    expect(cjson.decode("12345678901234567890")).equal(12345678901234567890)
    expect(cjson.decode("0x10")).equal(16)
    expect(cjson.decode("-Infinity")).equal(-math.huge)
    expect(cjson.decode([["a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000"]]))
      .equal('a"\\/\b\f\n\r\té😀\0')
  end)

  it("reads tables", function()
    expect(cjson.decode("[]")).same {}
    local value = cjson.decode('[1, [2, {"a": null, "b" : [ ]}]]')
    expect(value).same { 1, { 2, { a = cjson.null, b = {} } } }
    expect(cjson.decode('{"1":1,"1":2}')).same { ["1"] = 2 }
  end)

  it("says what is wrong and where", function()
    for text, reason in pairs {
      [""] = "Expected value but found T_END at character 1",
      ["["] = "Expected value but found T_END at character 2",
      ["[1 2]"] = "Expected comma or array end but found T_NUMBER at character 4",
      ["[1,]"] = "Expected value but found T_ARR_END at character 4",
      ["{1:2}"] = "Expected object key string but found T_NUMBER at character 2",
      ['{"a" 1}'] = "Expected colon but found T_NUMBER at character 6",
      ['{"a":1'] = "Expected comma or object end but found T_END at character 7",
      ["1 x"] = "Expected the end but found invalid token at character 3",
      ["tru"] = "Expected value but found invalid token at character 1",
      ["-"] = "Expected value but found invalid number at character 1",
      ['"abc'] = "Expected value but found unexpected end of string at character 5",
      ['"\\x"'] = "Expected value but found invalid escape code at character 2",
      ['"\\ud800"'] = "Expected value but found invalid unicode escape code at character 8",
      [("["):rep(1001)] = "Found too many nested data structures (1001) at character 1001",
      ["\0\0"] = "JSON parser does not support UTF-16 or UTF-32",
    } do
      expect(select(2, pcall(cjson.decode, text))).contains(reason)
      local value, err = safe.decode(text)
      expect(value).is_nil()
      expect(err).equal(reason)
    end
    expect(function() cjson.decode({}) end).errors("string expected")
  end)
end)

describe("settings", function()
  it("have lua-cjson's defaults", function()
    expect({ cjson.encode_sparse_array() }).same { false, 2, 10 }
    expect(cjson.encode_max_depth()).equal(1000)
    expect(cjson.decode_max_depth()).equal(1000)
    expect(cjson.encode_number_precision()).equal(14)
    expect(cjson.encode_keep_buffer()).is_true()
    expect(cjson.encode_invalid_numbers()).is_false()
    expect(cjson.decode_invalid_numbers()).is_true()
    expect(cjson._NAME).equal("cjson")
    expect(safe._NAME).equal("cjson.safe")
  end)

  it("belong to one table", function()
    local own = cjson.new()
    expect({ own.encode_sparse_array(true, 1, 3) }).same { true, 1, 3 }
    expect(own.encode({ [5] = 1 })).equal('{"5":1}')
    expect(own.encode({ [3] = 1 })).equal("[null,null,1]")
    expect(own.encode_max_depth(2)).equal(2)
    expect(own.encode({ { 1 } })).equal("[[1]]")
    expect(function() own.encode({ { { 1 } } }) end).errors("excessive depth %(3%)")
    own.decode_max_depth(2)
    expect(function() own.decode("[[[]]]") end).errors("too many nested data structures %(3%)")
    own.encode_number_precision(3)
    expect(own.encode(math.pi)).equal("3.14")
    own.encode_invalid_numbers("null")
    expect(own.encode({ 1 / 0 })).equal("[null]")
    expect(own.encode_invalid_numbers(true)).is_true()
    expect(own.encode({ 1 / 0, -1 / 0 })).equal("[inf,-inf]")
    own.decode_invalid_numbers("off")
    for _, text in ipairs { "0x10", "01", "nan" } do
      expect(function() own.decode(text) end).errors("invalid")
    end
    expect(own.decode("-0.5")).equal(-0.5)
    expect({ cjson.encode_sparse_array() }).same { false, 2, 10 }
    expect(function() own.encode_max_depth(0) end).errors("expected integer between 1")
    expect(function() own.encode_keep_buffer("maybe") end).errors("invalid option 'maybe'")
    expect(safe.new().decode("x")).is_nil()
  end)

  it("cannot make it recurse without end", function()
    local own = cjson.new()
    own.encode_max_depth(1e9)
    own.decode_max_depth(1e9)
    local cycle = {}
    cycle[1] = cycle
    expect(function() own.encode(cycle) end).errors("excessive depth")
    expect(function() own.decode(("["):rep(1e6)) end).errors("too many nested")
    expect(function() own.decode(('{"a":'):rep(1e6)) end).errors("too many nested")
  end)
end)

describe("json", function()
  local json = require "json"

  it("encodes as JSON4Lua does", function()
    expect(json.encode({ 1, nil, 3 })).equal("[1,null,3]")
    expect(json.encode({})).equal("[]")
    expect(json.encode({ { a = "x/y" } })).equal('[{"a":"x\\/y"}]')
    expect(json.encode({ json.null, true })).equal("[null,true]")
    expect(json.encode({ f = print, [true] = 1 })).equal('{"true":1}')
    expect(json.encode(nil)).equal("null")
    expect(function() json.encode(print) end).errors("unsupported type function")
    local cycle = {}
    cycle.c = cycle
    expect(function() json.encode(cycle) end).errors("nested")
    expect(json.leo).is_true()
  end)

  it("decodes from a position", function()
    local value, next_position = json.decode('{"a":[1,null,3]} tail')
    expect(value).same { a = { 1, nil, 3 } }
    expect(next_position).equal(17)
    expect({ json.decode("12 34", 3) }).same { 34, 6 }
    expect(function() json.decode("[1") end).errors("Expected comma or array end")
    expect(function() json.decode("", 100) end).errors("T_END")
  end)
end)

test.run()
