-- Tests of ltn12: sources, sinks, filters, pumps.
local ltn12 = require "ltn12"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

-- All chunks of a source, and the reason it failed for.
local function drain(source)
  local chunks = {}
  while true do
    local chunk, reason = source()
    if chunk == nil then return chunks, reason end
    chunks[#chunks + 1] = chunk
  end
end

-- A filter that holds bytes back until it has `size` of them, and gives one group at a time: the
-- rest has to be asked for.
local function grouper(size)
  local held, ended = "", false
  return function(chunk)
    if chunk then held = held .. chunk end
    if #held >= size then
      local group = held:sub(1, size)
      held = held:sub(size + 1)
      return "[" .. group .. "]"
    end
    if chunk then return "" end
    if ended or held == "" then return nil end
    ended = true
    return "[" .. held .. "]"
  end
end

local function upper(chunk) return chunk and chunk:upper() end

describe("sources", function()
  it("give strings in blocks", function()
    local text = ("0123456789"):rep(500)
    local chunks = drain(ltn12.source.string(text))
    expect(#chunks[1]).equal(ltn12.BLOCKSIZE)
    expect(table.concat(chunks)).equal(text)
    expect(drain(ltn12.source.string(""))).same {}
    expect(drain(ltn12.source.string(nil))).same {}
  end)

  it("give lists, nothing and errors", function()
    expect(drain(ltn12.source.table { "a", "", "b" })).same { "a", "", "b" }
    expect(drain(ltn12.source.empty())).same {}
    expect({ drain(ltn12.source.error("no")) }).same { {}, "no" }
    expect(function() ltn12.source.table("x") end).errors("table expected")
  end)

  it("give files and close them", function()
    local content, closed = ("x"):rep(3000), 0
    local at = 1
    local handle = {
      read = function(_, size)
        local part = content:sub(at, at + size - 1)
        at = at + size
        return part ~= "" and part or nil
      end,
      close = function() closed = closed + 1 end,
    }
    local source = ltn12.source.file(handle)
    expect(table.concat(drain(source))).equal(content)
    expect(closed).equal(1)
    expect(source()).is_nil()
    expect({ drain(ltn12.source.file(nil, "no such file")) }).same { {}, "no such file" }
    expect({ drain(ltn12.source.file(nil)) }).same { {}, "unable to open file" }
  end)

  it("take chunks back, the last first", function()
    local source = ltn12.source.rewind(ltn12.source.table { "a", "b" })
    expect(source()).equal("a")
    source("y")
    source("z")
    expect(drain(source)).same { "z", "y", "b" }
  end)

  it("replace themselves", function()
    local function second() return "2", ltn12.source.empty() end
    local source = ltn12.source.simplify(function() return "1", second end)
    expect(drain(source)).same { "1", "2" }
    expect({ drain(ltn12.source.simplify(ltn12.source.error("no"))) }).same { {}, "no" }
  end)

  it("follow each other", function()
    local source = ltn12.source.cat(
      ltn12.source.string("a"), ltn12.source.empty(), ltn12.source.table { "b", "c" })
    expect(drain(source)).same { "a", "b", "c" }
    expect({ drain(ltn12.source.cat(ltn12.source.string("a"), ltn12.source.error("no"))) })
      .same { { "a" }, "no" }
  end)
end)

describe("sinks", function()
  it("collect, write, refuse, forget", function()
    local sink, chunks = ltn12.sink.table()
    expect({ sink("a") }).same { 1 }
    sink("b")
    expect({ sink(nil) }).same { 1 }
    expect(chunks).same { "a", "b" }
    local own = { "x" }
    local _, same = ltn12.sink.table(own)
    expect(same).equal(own)
    expect({ ltn12.sink.error("full")("a") }).same { nil, "full" }
    expect({ ltn12.sink.null()("a") }).same { 1 }
    local written = {}
    local handle = {
      write = function(_, chunk) written[#written + 1] = chunk return true end,
      close = function() written[#written + 1] = "closed" end,
    }
    local file = ltn12.sink.file(handle)
    expect(ltn12.pump.all(ltn12.source.table { "a", "b" }, file)).equal(1)
    expect(written).same { "a", "b", "closed" }
    expect({ ltn12.sink.file(nil, "denied")("a") }).same { nil, "denied" }
  end)

  it("replace themselves", function()
    local later, chunks = ltn12.sink.table()
    local sink = ltn12.sink.simplify(function() return 1, later end)
    ltn12.pump.all(ltn12.source.table { "a", "b" }, sink)
    expect(chunks).same { "b" }
    expect({ ltn12.sink.simplify(ltn12.sink.error("no"))("a") }).same { nil, "no" }
  end)
end)

describe("filters", function()
  it("cycle through a low-level function", function()
    local count = ltn12.filter.cycle(function(context, chunk, extra)
      if not chunk then return nil, context end
      return context .. extra .. chunk, context + 1
    end, 1, ":")
    expect({ count("a"), count("b"), count(nil) }).same { "1:a", "2:b" }
  end)

  it("work before a sink and after a source", function()
    for _, split in ipairs { 1, 2, 3, 7, 100 } do
      local text, pieces = "the quick brown fox jumps", {}
      for at = 1, #text, split do pieces[#pieces + 1] = text:sub(at, at + split - 1) end
      local wanted = "[THE QUICK ][BROWN FOX ][JUMPS]"
      local sink, chunks = ltn12.sink.table()
      expect(ltn12.pump.all(ltn12.source.table(pieces),
        ltn12.sink.chain(upper, grouper(10), sink))).equal(1)
      expect(table.concat(chunks)).equal(wanted)
      local source = ltn12.source.chain(ltn12.source.table(pieces), grouper(10), upper)
      expect(table.concat((drain(source)))).equal(wanted)
      source = ltn12.source.chain(
        ltn12.source.table(pieces), ltn12.filter.chain(upper, grouper(3), grouper(10)))
      expect(table.concat((drain(source))))
        .equal("[[THE][ QU]][[ICK][ BR]][[OWN][ FO]][[X J][UMP]][[S]]")
    end
  end)

  it("keep their order when a chain holds back", function()
    local text = ("abcdefghij"):rep(20)
    local once = grouper(3)
    local function plain(source) return table.concat((drain(source))) end
    local first = plain(ltn12.source.chain(ltn12.source.string(text), once))
    local second = plain(ltn12.source.chain(ltn12.source.string(first), grouper(7)))
    expect(plain(ltn12.source.chain(ltn12.source.string(text), grouper(3), grouper(7))))
      .equal(second)
    local sink, chunks = ltn12.sink.table()
    ltn12.pump.all(ltn12.source.string(text), ltn12.sink.chain(grouper(3), grouper(7), sink))
    expect(table.concat(chunks)).equal(second)
  end)

  it("end with those that do not know of the end", function()
    local function naive(chunk) return (chunk or ""):upper() end
    expect(drain(ltn12.source.chain(ltn12.source.string("a"), naive))).same { "A" }
    local sink, chunks = ltn12.sink.table()
    expect(ltn12.pump.all(ltn12.source.string("a"), ltn12.sink.chain(naive, upper, sink))).equal(1)
    expect(chunks).same { "A" }
  end)

  it("pass failures on", function()
    local source = ltn12.source.chain(ltn12.source.error("no"), upper)
    expect({ drain(source) }).same { {}, "no" }
    local sink = ltn12.sink.chain(upper, ltn12.sink.error("full"))
    expect({ sink("a") }).same { nil, "full" }
    local bad = function() return nil end
    expect(function() ltn12.source.chain(ltn12.source.string("a"), bad)() end)
      .errors("inappropriate nil")
  end)
end)

describe("pumps", function()
  it("move chunk by chunk, or all", function()
    local source = ltn12.source.table { "a", "b" }
    local sink, chunks = ltn12.sink.table()
    expect({ ltn12.pump.step(source, sink) }).same { 1 }
    expect(chunks).same { "a" }
    expect({ ltn12.pump.all(source, sink) }).same { 1 }
    expect(chunks).same { "a", "b" }
    expect({ ltn12.pump.step(source, sink) }).same {}
  end)

  it("tell who failed, and the sink why", function()
    local told
    local function sink(chunk, reason)
      if not chunk then told = reason end
      return 1
    end
    expect({ ltn12.pump.all(ltn12.source.error("no"), sink) }).same { nil, "no" }
    expect(told).equal("no")
    expect({ ltn12.pump.all(ltn12.source.string("a"), ltn12.sink.error("full")) })
      .same { nil, "full" }
  end)

  it("take steps of their own", function()
    local steps = 0
    local function step(source, sink)
      steps = steps + 1
      return ltn12.pump.step(source, sink)
    end
    expect(ltn12.pump.all(ltn12.source.table { "a", "b" }, ltn12.sink.null(), step)).equal(1)
    expect(steps).equal(3)
  end)

  it("may wait", function()
    local socket = require "socket"
    local source = ltn12.source.chain(function()
      socket.sleep(0.01)
      return nil
    end, upper)
    expect(ltn12.pump.all(source, ltn12.sink.null())).equal(1)
  end)
end)

test.run()
