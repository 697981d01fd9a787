local test = require "splay.test"
local llenc = require "splay.llenc"
local benc = require "splay.benc"
local json = require "splay.json"
local describe, it, expect = test.describe, test.it, test.expect

-- A socket whose peer is a string.
local function fake(input)
  local socket = { input = input or "", output = "", sends = 0 }

  function socket:send(data)
    if self.broken then return nil, "closed" end
    self.output, self.sends = self.output .. data, self.sends + 1
    return #data
  end

  function socket:receive(pattern)
    local data, rest
    if pattern == "*l" then
      data, rest = self.input:match("^(.-)\n(.*)$")
      if not data then return nil, "closed", self.input end
      data = data:gsub("\r", "")
    else
      if #self.input < pattern then return nil, "timeout", self.input end
      data, rest = self.input:sub(1, pattern), self.input:sub(pattern + 1)
    end
    self.input = rest
    return data
  end

  function socket:settimeout(t) self.timeout = t return true end
  return socket
end

describe("llenc", function()
  it("frames", function()
    expect(llenc.encode("hello")).equal("5\nhello")
    expect(llenc.encode("")).equal("0\n")
    expect(llenc.encode(42)).equal("2\n42")
  end)

  it("sends blocks, arrays and large blocks", function()
    local s = fake()
    expect(llenc.send(s, "d4:type4:pinge")).equal(17)
    expect(s.output).equal("14\nd4:type4:pinge")
    s = fake()
    expect(llenc.send(s, { "ab", "", 7 })).truthy()
    expect(s.output).equal("2\nab0\n1\n7")
    s = fake()
    local large = ("x"):rep(8192)
    expect(llenc.send(s, large)).equal(8192)
    expect(s.output).equal("8192\n" .. large)
    expect(s.sends).equal(2)
  end)

  it("reports what cannot be sent", function()
    local s = fake()
    for _, data in ipairs { false, {} } do
      local sent, err = llenc.send(s, data)
      expect(sent).is_nil()
      expect(err).equal("no data")
    end
    expect(select(2, llenc.send(s, nil))).equal("no data")
    s.broken = true
    expect(select(2, llenc.send(s, "x"))).equal("closed")
    expect(select(2, llenc.send(s, ("x"):rep(9000)))).equal("closed")
  end)

  it("receives blocks", function()
    local s = fake("5\nhello0\n3\r\nabc2\nxy")
    expect(llenc.receive(s)).equal("hello")
    expect(llenc.receive(s)).equal("")
    expect(llenc.receive(s, 3)).equal("abc")
    expect(llenc.receive(s, 2)).equal("xy")
    expect(select(2, llenc.receive(s))).equal("closed")
  end)

  it("refuses long, malformed and cut blocks", function()
    local s = fake("11\nhello world")
    local data, err = llenc.receive(s, 10)
    expect(data).is_nil()
    expect(err).equal("Too much data (max: 10)")
    expect(s.input).equal("hello world")
    for _, line in ipairs { "", "x", "-1", "0x10", "1e3", "5 5", ("9"):rep(40) } do
      data, err = llenc.receive(fake(line .. "\nhello"))
      expect(data).is_nil()
      expect(err).equal("corrupted")
    end
    expect(select(2, llenc.receive(fake("10\nhello")))).equal("timeout")
  end)

  it("receives arrays", function()
    expect(llenc.receive_array(fake("1\na1\nb1\nc"), 2)).same { "a", "b" }
    expect(llenc.receive_array(fake("1\na"))).same { "a" }
    local blocks, err, partial = llenc.receive_array(fake("1\na1\nb"), 3)
    expect(blocks).is_nil()
    expect(err).equal("closed")
    expect(partial).same { "a", "b" }
  end)

  it("wraps a socket once", function()
    local s = fake("2\nhi1\na1\nb3\nxyz")
    local w = llenc.wrap(s)
    expect(llenc.wrap(w)).equal(w)
    expect(tostring(w)).matches("^#LLENC: table: ")
    expect(w.super).equal(s)
    expect(w:send("hello")).truthy()
    expect(s.output).equal("5\nhello")
    expect(w:receive()).equal("hi")
    expect(w:receive_array(2)).same { "a", "b" }
    expect(select(2, w:receive(2))).equal("Too much data (max: 2)")
    expect(w:settimeout(3)).is_true()
    expect(s.timeout).equal(3)
    expect(w.timeout).equal(3)
    expect(w.nothing).is_nil()
  end)
end)

describe("benc over a socket", function()
  it("carries values", function()
    local s = fake()
    local w = benc.wrap(s)
    expect(benc.wrap(w)).equal(w)
    expect(benc.wrap(llenc.wrap(s)).super.super).equal(s)
    expect(w:send({ type = "ping" })).truthy()
    expect(s.output).equal("14\nd4:type4:pinge")
    s.input = s.output .. "1\nt1\nn2\nle1\nx4\nli1e3\nabc"
    expect(w:receive()).same { type = "ping" }
    expect(w:receive()).is_true()
    expect(select("#", w:receive())).equal(1)
    expect(w:receive()).same {}
    for _ = 1, 2 do
      local value, err = w:receive()
      expect(value).is_nil()
      expect(err).equal("corrupted")
    end
    expect(select(2, w:receive(2))).equal("Too much data (max: 2)")
    s.input = "3\ni1e3\ni2e"
    expect(w:receive_array(2)).same { 1, 2 }
    expect(w:settimeout(1)).is_true()
    expect(s.timeout).equal(1)
  end)

  it("has the same functions without wrapper", function()
    local s = fake()
    expect(benc.send(s, { 1, "two" })).truthy()
    expect(s.output).equal("10\nli1e3:twoe")
    s.input = s.output .. "2\ni5"
    expect(benc.receive(s)).same { 1, "two" }
    expect(select(2, benc.receive(s))).equal("corrupted")
    expect(select(2, benc.receive(s))).equal("closed")
  end)
end)

describe("json over a socket", function()
  it("carries values on lines", function()
    local s = fake()
    local w = json.wrap(s)
    expect(json.wrap(w)).equal(w)
    expect(tostring(w)).matches("^#JSON: ")
    expect(w:send({ 1, "two\n" })).truthy()
    expect(s.output).equal('[1,"two\\n"]\n')
    s.input = s.output .. "{\n"
    expect(w:receive()).same { 1, "two\n" }
    local value, err = w:receive()
    expect(value).is_nil()
    expect(err).equal("corrupted")
    expect(select(2, w:receive())).equal("closed")
    expect(w:settimeout(2)).is_true()
    expect(json.decode(json.encode({ a = 1 }))).same { a = 1 }
  end)
end)

test.run()
