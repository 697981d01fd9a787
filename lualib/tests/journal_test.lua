-- Records in a file, found again after a crash.
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local journal = require "splay.journal"

local name

local function contents()
  local file = io.open(name, "rb")
  local text = file:read("*a")
  file:close()
  return text
end

local function overwrite(text)
  local file = io.open(name, "wb")
  file:write(text)
  file:close()
end

test.before_each(function() name = os.tmpname() end)
test.after_each(function()
  os.remove(name)
  os.remove(name .. ".new")
end)

describe("journal", function()
  it("is empty at first", function()
    os.remove(name)
    local log, records = journal.open(name)
    expect(records).same({})
    log:close()
    expect(contents()).equal("")
  end)

  it("finds what was appended, in order, and goes on", function()
    local log = journal.open(name)
    expect(log:append({ term = 3, vote = 1 })).is_true()
    log:append("two\n\0")
    log:close()
    local again, records = journal.open(name)
    expect(records).same({ { term = 3, vote = 1 }, "two\n\0" })
    again:append(false)
    again:close()
    local _, all = journal.open(name)
    expect(all).same({ { term = 3, vote = 1 }, "two\n\0", false })
  end)

  it("writes at once", function()
    local log = journal.open(name)
    log:append(7)
    expect(contents()).equal("3\ni7e")
    log:close()
  end)

  it("replaces all records", function()
    local log = journal.open(name)
    for i = 1, 100 do log:append(i) end
    expect(log:replace({ "a", "b" })).is_true()
    log:append("c")
    log:close()
    local _, records = journal.open(name)
    expect(records).same({ "a", "b", "c" })
    expect(io.open(name .. ".new")).is_nil()
  end)

  it("drops a torn record, wherever it is torn", function()
    local log = journal.open(name)
    log:append({ 1, 2, 3 })
    local whole = contents()
    log:append({ text = "gone" })
    log:close()
    local both = contents()
    for length = #whole + 1, #both - 1 do
      overwrite(both:sub(1, length))
      local after, records = journal.open(name)
      expect(records).same({ { 1, 2, 3 } })
      expect(contents()).equal(whole)
      after:append("next")
      after:close()
      expect(select(2, journal.open(name))).same({ { 1, 2, 3 }, "next" })
    end
  end)

  it("drops what is no record", function()
    overwrite("3\ni1e5\nxxxxx3\ni2e")
    local _, records = journal.open(name)
    expect(records).same({ 1 })
  end)

  it("says why it cannot be opened", function()
    local log, reason = journal.open(name .. "/no/such/folder")
    expect(log).is_nil()
    expect(reason).matches("no/such/folder")
  end)
end)

test.run()
