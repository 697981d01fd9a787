-- Tests of splay.cli.
local cli = require "splay.cli"
local events = require "splay.events"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

describe("parameters", function()
  local defaults = { period = 1, name = "ring", stay = false, jump = true }

  it("are the defaults when nothing is said", function()
    local p = cli.parameters(defaults, {})
    expect(p).same(defaults)
    expect(p).never.equal(defaults)
  end)

  it("have the type of their default", function()
    local p = cli.parameters(defaults, { "period=0.5", "name=7", "stay", "jump=no" })
    expect(p).same({ period = 0.5, name = "7", stay = true, jump = false })
    expect(cli.parameters(defaults, { "--period=2", "--stay", "name=" }))
      .same({ period = 2, name = "", stay = true, jump = true })
    expect(cli.parameters(defaults, { "name=a=b" }).name).equal("a=b")
  end)

  it("come after a position and a total", function()
    expect(cli.parameters(defaults, { "3", "50", "period=2" }).period).equal(2)
    expect(function() cli.parameters(defaults, { "period=2", "3" }) end)
      .errors("unknown parameter `3`")
  end)

  it("that are unknown or wrong are named", function()
    expect(function() cli.parameters(defaults, { "perriod=2" }) end)
      .errors("^unknown parameter `perriod`; did you mean `period`%? there are: jump %(true%)")
    expect(function() cli.parameters(defaults, { "sty" }) end).errors("did you mean `stay`%?")
    expect(function() cli.parameters(defaults, { "other=1" }) end)
      .errors("^unknown parameter `other`; there are: ")
    expect(function() cli.parameters(defaults, { "period=fast" }) end)
      .errors("^parameter `period`: `fast` is not a number$")
    expect(function() cli.parameters(defaults, { "stay=maybe" }) end).errors("not a boolean")
    expect(function() cli.parameters(defaults, { "period" }) end).errors("`period` needs a value")
    expect(function() cli.parameters({ list = {} }, {}) end).errors("default of `list`")
  end)

  it("of the command line go before those of the job", function()
    local old_arg, old_job = arg, job
    job = { args = "period=3 name=job" }
    arg = { "1", "5", "period=4" }
    local p = cli.parameters(defaults)
    job = { args = { "jump=0" } }
    arg = nil
    local q = cli.parameters(defaults)
    arg, job = old_arg, old_job
    expect(p.period).equal(4)
    expect(p.name).equal("job")
    expect(q.jump).is_false()
  end)
end)

describe("crash", function()
  -- Runs `f` as the instance at a position, without ending it.
  local function at_position(position, f)
    local old_job, old_exit, old_print = job, os.exit, print
    local lines, codes = {}, {}
    job = { position = position }
    os.exit = function(code) codes[#codes + 1] = code end
    print = function(text) lines[#lines + 1] = text end
    local result = f()
    job, os.exit, print = old_job, old_exit, old_print
    return result, lines, codes
  end

  it("ends the instance within the time", function()
    local time, lines, codes = at_position(2, function()
      local time = cli.crash(1, 0.2, 0.1)
      events.sleep(0.3)
      return time
    end)
    expect(time).at_least(0.1).at_most(0.2)
    expect(lines[1]).matches("^crashes after 0%.[12] s$")
    expect(codes).same({ 0 })
  end)

  it("chooses about as many as asked, never the first", function()
    local chosen = at_position(2, function()
      local n = 0
      for _ = 1, 1000 do n = n + (cli.crash(0.1, 1e6, 1e6) and 1 or 0) end
      return n
    end)
    expect(chosen).at_least(50).at_most(170)
    expect(at_position(1, function() return cli.crash(1, 10) end)).is_nil()
    expect(at_position(2, function() return cli.crash(0, 10) end)).is_nil()
    expect(function() cli.crash() end).errors("probability")
  end)
end)

test.run()
