-- Small pieces of work that every application does all the time. Argument: which one.
local events = require "splay.events"
local misc = require "splay.misc"

local cases = {}

--- The least of five rounds; `round` returns how long one piece took.
local function best(round)
  local least = math.huge
  for _ = 1, 5 do
    least = math.min(least, round())
    events.yield()
  end
  return least
end

--- Processor time of `f`, divided by `count`.
local function cpu(count, f)
  local start = os.clock()
  f()
  return (os.clock() - start) / count
end

function cases.benc_small()
  local benc = require "splay.benc"
  local value, count = {"call", 1, "two", {3}}, 100000
  return best(function()
    return cpu(count, function()
      for _ = 1, count do
        benc.decode(benc.encode(value))
      end
    end)
  end) * 1e6, "us"
end

function cases.benc_map()
  local benc = require "splay.benc"
  local map = {}
  for i = 1, 10000 do
    map["key" .. i] = i
  end
  return best(function()
    return cpu(10, function()
      for _ = 1, 10 do
        benc.decode(benc.encode(map))
      end
    end)
  end) * 1e3, "ms"
end

local function switches()
  local threads, each = 100, 10000
  return best(function()
    local left = threads
    for _ = 1, threads do
      events.thread(function()
        for _ = 1, each do
          events.yield()
        end
        left = left - 1
        if left == 0 then
          events.fire("switched")
        end
      end)
    end
    return cpu(threads * each, function()
      events.wait("switched")
    end)
  end) * 1e9, "ns"
end

cases.switch = switches

function cases.switch_sleepers()
  for _ = 1, 10000 do
    events.thread(function()
      events.sleep(3600)
    end)
  end
  events.yield()
  return switches()
end

function cases.sleep_many()
  local count = 100000
  return best(function()
    return cpu(1, function()
      local left = count
      for _ = 1, count do
        events.thread(function()
          events.sleep(0.01)
          left = left - 1
          if left == 0 then
            events.fire("all awake")
          end
        end)
      end
      events.wait("all awake")
    end)
  end), "s"
end

-- Lateness of the 99th of a hundred among 10,000 timers spread over two seconds.
local function lateness()
  local count, late = 10000, {}
  local start = misc.time()
  for i = 1, count do
    local due = 0.1 + 2 * i / count
    events.thread(function()
      events.sleep(start + due - misc.time())
      late[#late + 1] = misc.time() - start - due
      if #late == count then
        events.fire("all fired")
      end
    end)
  end
  events.wait("all fired")
  table.sort(late)
  return late[count * 0.99]
end

function cases.timers()
  return best(lateness) * 1e3, "ms"
end

function cases.fire_wait()
  local count = 200000
  local answerer = events.thread(function()
    while true do
      events.wait("question")
      events.fire("answer")
    end
  end)
  events.yield()
  local seconds = best(function()
    return cpu(count, function()
      for _ = 1, count do
        events.fire("question")
        events.wait("answer")
      end
    end)
  end)
  events.kill(answerer)
  return 1e-6 / seconds, "M/s"
end

function cases.queens()
  local function place(n, row, columns, up, down)
    if row > n then
      return 1
    end
    local found = 0
    for column = 1, n do
      local u, d = row + column, row - column + n
      if not (columns[column] or up[u] or down[d]) then
        columns[column], up[u], down[d] = true, true, true
        found = found + place(n, row + 1, columns, up, down)
        columns[column], up[u], down[d] = nil, nil, nil
      end
    end
    return found
  end
  return best(function()
    return cpu(1, function()
      assert(place(10, 1, {}, {}, {}) == 724)
    end)
  end) * 1e3, "ms"
end

function cases.sieve()
  return best(function()
    return cpu(1, function()
      local limit, prime, count = 2000000, {}, 0
      for i = 2, limit do
        prime[i] = true
      end
      for i = 2, limit do
        if prime[i] then
          count = count + 1
          for multiple = i * i, limit, i do
            prime[multiple] = false
          end
        end
      end
      assert(count == 148933)
    end)
  end) * 1e3, "ms"
end

events.run(function()
  local value, unit = cases[arg[1]]()
  print(string.format("BENCH %s %.6g %s", arg[1], value, unit))
  os.exit()
end)
