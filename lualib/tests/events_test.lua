-- Tests of splay.events: threads, the one-slot latch of events, timers, locks.
require "splay.base"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

-- Seconds since some moment, as timers see them.
local now = require("splay.misc_core").now

-- Runs `f` in a thread; its log lines at error level are of no interest.
local function dying(f)
  return events.thread(f)
end

describe("threads", function()
  it("are named by strings", function()
    local name = events.thread(function() end)
    expect(name).is_a("string")
    expect(name).matches("^thread: ")
    expect(tostring(coroutine.running())).matches("^thread: ")
    expect(events.status(name)).equal("suspended")
    expect(events.dead(name)).is_false()
    events.yield()
    events.yield()
    expect(events.status(name)).equal("dead")
    expect(events.dead(name)).is_true()
  end)

  it("know their own state", function()
    local inside
    events.thread(function()
      inside = events.status(tostring(coroutine.running()))
    end)
    events.yield()
    expect(inside).equal("running")
    expect(events.status("thread: nobody")).equal("dead")
    expect(events.dead("thread: nobody")).is_true()
    expect(events.dead(nil)).is_true()
  end)

  it("run only when the creator yields, in order of creation", function()
    local order = {}
    for i = 1, 3 do events.thread(function() order[#order + 1] = i end) end
    expect(#order).equal(0)
    events.yield()
    expect(order).same({ 1, 2, 3 })
  end)

  it("come from tables of functions, and from coroutines", function()
    local ran = {}
    local names = events.thread({ function() ran[1] = true end, function() ran[2] = true end })
    expect(#names).equal(2)
    expect(names[1]).is_a("string")
    events.thread(coroutine.create(function() ran[3] = true end))
    events.yield()
    expect(ran).same({ true, true, true })
  end)

  it("die alone when they fail", function()
    local after = false
    local name = dying(function() error("meant to die") end)
    events.thread(function() after = true end)
    events.yield()
    events.yield()
    expect(events.dead(name)).is_true()
    expect(after).is_true()
  end)

  it("can be killed in every state", function()
    local reached = {}
    local new = events.thread(function() reached.new = true end)
    expect(events.kill(new)).is_true()
    local asleep = events.thread(function()
      events.sleep(0.02)
      reached.asleep = true
    end)
    local waiting = events.thread(function()
      events.wait("kill test")
      reached.waiting = true
    end)
    local yielding = events.thread(function()
      while events.yield() do reached.yielding = (reached.yielding or 0) + 1 end
    end)
    events.sleep(0.005)
    local results = events.kill({ asleep, waiting, yielding })
    expect(results).same({ true, true, true })
    local before = reached.yielding
    events.fire("kill test")
    events.sleep(0.04)
    expect(reached.new).is_nil()
    expect(reached.asleep).is_nil()
    expect(reached.waiting).is_nil()
    expect(reached.yielding).equal(before)
    local ok, reason = events.kill(new)
    expect(ok).is_nil()
    expect(reason).equal("not found")
  end)

  it("can kill themselves", function()
    local after = false
    local name = events.thread(function()
      events.kill(tostring(coroutine.running()))
      after = true
    end)
    events.yield()
    events.yield()
    expect(after).is_false()
    expect(events.dead(name)).is_true()
  end)
end)

describe("yield and sleep", function()
  it("return true", function()
    expect(events.yield()).is_true()
    expect(events.sleep(0)).is_true()
    expect(events.sleep(0.001)).is_true()
    expect(events.sleep()).is_true()
    expect(events.sleep(-1)).is_true()
  end)

  it("sleep at least their time, the shorter first", function()
    local start, order = now(), {}
    for i, t in ipairs { 0.06, 0.02, 0.04 } do
      events.thread(function()
        events.sleep(t)
        order[#order + 1] = i
        expect(now() - start).at_least(t - 0.0005)
      end)
    end
    events.sleep(0.1)
    expect(order).same({ 2, 3, 1 })
  end)

  it("work inside pcall, iterators, metamethods and coroutines of the program", function()
    local ok, v = pcall(function()
      events.sleep(0.001)
      return "slept"
    end)
    expect(ok).is_true()
    expect(v).equal("slept")

    local n = 0
    for i in function(_, i)
      events.yield()
      if (i or 0) < 3 then return (i or 0) + 1 end
    end do n = i end
    expect(n).equal(3)

    local object = setmetatable({}, {
      __index = function(_, k)
        events.sleep(0.001)
        return k .. "!"
      end,
      __add = function()
        events.yield()
        return 7
      end,
    })
    expect(object.x).equal("x!")
    expect(object + 1).equal(7)

    local co = coroutine.wrap(function(a)
      events.sleep(0.001)
      local b = coroutine.yield(a + 1)
      events.yield()
      return b * 2
    end)
    expect(co(1)).equal(2)
    expect(co(5)).equal(10)

    local sorted = { 3, 1, 2 }
    local nested = coroutine.create(function()
      return pcall(coroutine.wrap(function() return events.wait("nested", 0.01) end))
    end)
    local alive, fine, fired, reason = coroutine.resume(nested)
    expect(alive).is_true()
    expect(fine).is_true()
    expect(fired).is_false()
    expect(reason).equal("timeout")
    table.sort(sorted)
    expect(sorted).same({ 1, 2, 3 })
  end)
end)

describe("events", function()
  it("pass arguments", function()
    local got
    events.thread(function() got = { events.wait("args") } end)
    events.yield()
    expect(events.fire("args", "hello", 2)).is_true()
    events.yield()
    events.yield()
    expect(got).same({ "hello", 2 })
  end)

  it("keep nils among the arguments", function()
    local count, third
    events.thread(function()
      local function note(...) count, third = select("#", ...), (select(3, ...)) end
      note(events.wait("nils"))
    end)
    events.yield()
    events.fire("nils", nil, 2, 3, nil)
    events.yield()
    events.yield()
    expect(count).equal(4)
    expect(third).equal(3)
  end)

  it("answer true and the arguments when a timeout is given", function()
    local start = now()
    local ok, reason = events.wait("nobody fires", 0.02)
    expect(ok).is_false()
    expect(reason).equal("timeout")
    expect(now() - start).at_least(0.0195)
    events.thread(function() events.fire("soon", "a", "b") end)
    local fired, a, b = events.wait("soon", 5)
    expect(fired).is_true()
    expect(a).equal("a")
    expect(b).equal("b")
    expect((events.wait("nobody fires", 0))).is_false()
    expect((events.wait("nobody fires", -1))).is_false()
  end)

  it("stay for a wait in the same slice, and no longer", function()
    events.fire("latch", 1)
    local ok, v = events.wait("latch", 0.01)
    expect(ok).is_true()
    expect(v).equal(1)
    events.fire("latch", 2)
    events.sleep(0.001)
    expect((events.wait("latch", 0.01))).is_false()
  end)

  it("have one slot", function()
    expect(events.fire("slot", 1)).is_true()
    expect((events.fire("slot", 2))).is_false()
    expect((events.wait("slot"))).equal(1)
    expect(events.fire("slot", 3)).is_true()
    expect((events.wait("slot"))).equal(3)
  end)

  it("reach every waiting thread, first come first", function()
    local order = {}
    for i = 1, 4 do
      events.thread(function()
        events.wait("all")
        order[#order + 1] = i
      end)
    end
    events.yield()
    events.fire("all")
    events.sleep(0.005)
    expect(order).same({ 1, 2, 3, 4 })
  end)

  it("may have any value as a name", function()
    local key, f = {}, function() end
    for _, name in ipairs { key, f, 12, true } do
      events.fire(name, "got")
      expect((events.wait(name))).equal("got")
    end
    events.fire(key)
    expect((events.wait({}, 0.005))).is_false()
  end)

  it("fired by a resumed thread reach the next pass", function()
    local rounds = 0
    events.thread(function()
      while rounds < 50 do
        events.wait("ping")
        rounds = rounds + 1
        events.fire("pong")
      end
    end)
    events.yield()
    for i = 1, 50 do
      events.fire("ping")
      events.wait("pong")
      expect(rounds).equal(i)
    end
  end)
end)

describe("periodic", function()
  it("waits a period before the first call", function()
    local calls = 0
    local name = events.periodic(0.02, function() calls = calls + 1 end)
    expect(name).is_a("string")
    events.sleep(0.01)
    expect(calls).equal(0)
    events.sleep(0.1)
    expect(calls).at_least(2)
    expect(calls).at_most(5)
    events.kill(name)
    local before = calls
    events.sleep(0.05)
    expect(calls).equal(before)
  end)

  it("takes its arguments in either order, and tables of functions", function()
    local a, b, c = 0, 0, 0
    local swapped = events.periodic(function() a = a + 1 end, 0.01)
    local several = events.periodic(0.01, {
      function() b = b + 1 end,
      function() c = c + 1 end,
    })
    events.sleep(0.055)
    events.kill({ swapped, several })
    expect(a).at_least(2)
    expect(b).at_least(2)
    expect(c).at_least(2)
  end)

  it("leaves out a call while the last one runs and says so, unless forced", function()
    local before = events.l_o
    local inside, most, forced, most_forced, said = 0, 0, 0, 0, {}
    events.l_o = { warn = function(_, text) said[#said + 1] = text end }
    local plain = events.periodic(0.01, function()
      inside = inside + 1
      most = math.max(most, inside)
      events.sleep(0.035)
      inside = inside - 1
    end)
    local force = events.periodic(0.01, function()
      forced = forced + 1
      most_forced = math.max(most_forced, forced)
      events.sleep(0.035)
      forced = forced - 1
    end, true)
    events.sleep(0.1)
    events.kill({ plain, force })
    expect(most).equal(1)
    expect(most_forced).at_least(2)
    events.sleep(0.05)
    events.l_o = before
    -- Told once, and when their number has doubled.
    expect(said[1]).matches("is not dead, we wait$")
    expect(said[2]).matches("we wait %(2 calls left out%)$")
    expect(#said).at_most(4)
  end)
end)

describe("locks", function()
  it("exclude", function()
    local l, inside, most = events.lock(), 0, 0
    for _ = 1, 5 do
      events.thread(function()
        l:lock()
        inside = inside + 1
        most = math.max(most, inside)
        events.sleep(0.002)
        inside = inside - 1
        l:unlock()
      end)
    end
    events.sleep(0.1)
    expect(most).equal(1)
    expect(inside).equal(0)
    expect(l.inside).equal(0)
  end)

  it("semaphores let several in", function()
    local s, inside, most = events.semaphore(2), 0, 0
    expect(s.max).equal(2)
    for _ = 1, 6 do
      events.thread(function()
        s:get()
        inside = inside + 1
        most = math.max(most, inside)
        events.sleep(0.002)
        inside = inside - 1
        s:release()
      end)
    end
    events.sleep(0.1)
    expect(most).equal(2)
    expect(inside).equal(0)
  end)

  it("are not re-entrant and time out with false", function()
    local l = events.lock()
    expect(l:lock()).is_true()
    local taken, more = l:lock(0.01)
    expect(taken).is_false()
    expect(more).is_nil()
    expect(l:lock(0)).is_false()
    l:unlock()
    expect(l:lock(0.01)).is_true()
    l:unlock()
  end)

  it("may be unlocked by anyone", function()
    local l = events.lock()
    l:lock()
    events.thread(function() l:unlock() end)
    expect(l:lock(0.1)).is_true()
    expect(l.inside).equal(1)
    l:unlock()
  end)

  -- Whether a lock is free after its holder ended in some way.
  local function free_after(secure, how)
    local l = events.lock(secure)
    local name = dying(function()
      l:lock()
      if how == "error" then error("meant to die with a lock") end
      if how == "kill" then events.sleep(10) end
    end)
    events.sleep(0.002)
    if how == "kill" then events.kill(name) end
    events.sleep(0.002)
    return l:lock(0.005)
  end

  it("are released as their secure level says", function()
    expect(free_after(nil, "error")).is_true()
    expect(free_after(1, "error")).is_true()
    expect(free_after(1, "end")).is_false()
    expect(free_after(1, "kill")).is_false()
    expect(free_after(2, "error")).is_true()
    expect(free_after(2, "end")).is_true()
    expect(free_after(2, "kill")).is_true()
    expect(free_after(false, "error")).is_false()
    expect(free_after(false, "end")).is_false()
    expect(free_after(false, "kill")).is_false()
  end)

  it("have old names", function()
    expect(events.new_lock().max).equal(1)
    expect(events.new_semaphore(3).max).equal(3)
  end)
end)

describe("synchronize", function()
  it("lets one thread into a function", function()
    local inside, most, results = 0, 0, {}
    local function f()
      inside = inside + 1
      most = math.max(most, inside)
      events.sleep(0.002)
      inside = inside - 1
      return "a", nil, "c"
    end
    for i = 1, 4 do
      events.thread(function() results[i] = { events.synchronize(f) } end)
    end
    events.sleep(0.1)
    expect(most).equal(1)
    for i = 1, 4 do
      expect(results[i][1]).is_true()
      expect(results[i][2]).equal("a")
      expect(results[i][4]).equal("c")
    end
  end)

  it("times out, and passes errors on", function()
    local function slow() events.sleep(0.05) end
    events.thread(function() events.synchronize(slow) end)
    events.yield()
    local ok, reason = events.synchronize(slow, 0.01)
    expect(ok).is_false()
    expect(reason).equal("timeout")
    local function fails() error("from inside", 0) end
    expect(function() events.synchronize(fails) end).errors("from inside")
    expect(function() events.synchronize(fails) end).errors("from inside")
  end)
end)

describe("information", function()
  it("infos and stats are text, count_threads a number", function()
    expect(events.infos()).matches("^Events: %d+ .*\nThreads: %d+ .*\nLoops: %d+")
    expect(events.stats()).matches("^Events: ")
    local before = events.count_threads()
    events.thread({ function() end, function() end })
    expect(events.count_threads()).equal(before + 2)
    expect(events.loop == events.run).is_true()
    events.yield()
  end)
end)

describe("many", function()
  it("threads and timers", function()
    local ended = 0
    for i = 1, 2000 do
      events.thread(function()
        events.sleep((i % 50) / 1000)
        ended = ended + 1
      end)
    end
    local limit = now() + 10
    while ended < 2000 and now() < limit do events.sleep(0.01) end
    expect(ended).equal(2000)
  end)
end)

test.run()
