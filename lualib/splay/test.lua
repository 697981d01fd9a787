--- Unit tests for applications and libraries: `describe`, `it`, `expect`.
--- Every test body runs in its own thread (it may sleep or call other nodes) under a timeout.
---
--- ```lua not run: it belongs into a file of tests
--- local test = require "splay.test"
--- local describe, it, expect = test.describe, test.it, test.expect
--- describe("addition", function()
---   it("adds", function() expect(1 + 1).equal(2) end)
--- end)
--- test.run()  --> ok 1 - addition: adds
---             --> 1 passed, 0 failed
--- ```
---
--- Since: 0.1
local M = {}

--- Seconds a test may take before it counts as failed.
M.timeout = 30

---@class splay.test.Suite
---@field name string
---@field before function[]
---@field after function[]
---@field parent splay.test.Suite?

---@type splay.test.Suite
local root = { name = "", before = {}, after = {} }
local suite = root
local tests = {} -- in the order of definition: {name, body, timeout, suite, where}
local current -- the running test: {asserted = count, failures = {text, ...}}

--- A value as a failure message shows it.
local function show(value, depth)
  if type(value) == "string" then
    local text = string.format("%q", value):gsub("\\\n", "\\n")
    return #text > 300 and text:sub(1, 300) .. '..."' or text
  end
  if type(value) ~= "table" then return tostring(value) end
  depth = depth or 0
  if depth > 4 then return "{...}" end
  local parts, n = {}, #value
  for i = 1, math.min(n, 40) do parts[i] = show(value[i], depth + 1) end
  for k, v in pairs(value) do
    local listed = type(k) == "number" and k >= 1 and k <= n and k % 1 == 0
    if not listed then
      if #parts >= 60 then
        parts[#parts + 1] = "..."
        break
      end
      local key = type(k) == "string" and k or "[" .. show(k, depth + 1) .. "]"
      parts[#parts + 1] = key .. " = " .. show(v, depth + 1)
    end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- Deep comparison; tables that contain themselves are compared once.
local function same(a, b, seen)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return a ~= a and b ~= b end
  seen = seen or {}
  if seen[a] == b then return true end
  seen[a] = b
  for k, v in pairs(a) do
    if not same(v, b[k], seen) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

--- matcher(value, ...) -> holds, what was expected[, what was found]
local matchers = {
  equal = function(value, other) return value == other, "equal to " .. show(other) end,
  same = function(value, other) return same(value, other), "same as " .. show(other) end,
  is_nil = function(value) return value == nil, "nil" end,
  is_true = function(value) return value == true, "true" end,
  is_false = function(value) return value == false, "false" end,
  truthy = function(value) return value and true or false, "truthy" end,
  falsy = function(value) return not value, "falsy" end,
  matches = function(value, pattern)
    return type(value) == "string" and value:find(pattern) ~= nil,
      "matching " .. show(pattern)
  end,
  near = function(value, other, eps)
    return type(value) == "number" and math.abs(value - other) <= (eps or 1e-9),
      ("within %s of %s"):format(tostring(eps or 1e-9), tostring(other))
  end,
  at_least = function(value, limit)
    return type(value) == type(limit) and value >= limit, "at least " .. show(limit)
  end,
  at_most = function(value, limit)
    return type(value) == type(limit) and value <= limit, "at most " .. show(limit)
  end,
  contains = function(value, item)
    local wanted = "containing " .. show(item)
    if type(value) == "string" then return value:find(item, 1, true) ~= nil, wanted end
    if type(value) ~= "table" then return false, wanted end
    for _, v in pairs(value) do
      if same(v, item) then return true, wanted end
    end
    return false, wanted
  end,
  is_a = function(value, name) return type(value) == name, "a " .. tostring(name) end,
  errors = function(body, pattern)
    local before = current and #current.failures
    local ok, reason = pcall(body)
    if before then
      for i = #current.failures, before + 1, -1 do current.failures[i] = nil end
    end
    if ok then return false, "to raise an error", "none" end
    reason = tostring(reason)
    return not pattern or reason:find(pattern) ~= nil,
      "an error" .. (pattern and " matching " .. show(pattern) or ""), show(reason)
  end,
}

-- This file, as tracebacks name it.
local here = (debug.traceback("", 1):match("\n%s+([^\n]-):%d+: in") or "splay/test.lua") .. ":"

--- Where the test is, as "file:line", seen from a matcher's caller.
local function position()
  for line in debug.traceback("", 2):gmatch("[^\n]+") do
    local where = line:match("^%s+(.-:%d+):")
    if where and where:sub(1, #here) ~= here then return where end
  end
  return "?"
end

--- Called with the outcome; an error here is what ends the test.
local function judge(holds, negated, value, wanted, found)
  if current then current.asserted = current.asserted + 1 end
  if negated then holds = not holds end
  if holds then return true end
  local text = ("%s: expected %s%s, got %s"):format(
    position(), negated and "not " or "", wanted, found or show(value))
  if current then current.failures[#current.failures + 1] = text end
  error(text, 0)
end

local expectation = {}
expectation.__index = function(self, name)
  if name == "never" then
    return setmetatable({ value = rawget(self, "value"), negated = true }, expectation)
  end
  local matcher = matchers[name]
  if not matcher then error("no such expectation: " .. tostring(name), 2) end
  return function(...)
    local value = rawget(self, "value")
    local holds, wanted, found = matcher(value, ...)
    judge(holds, rawget(self, "negated"), value, wanted, found)
    return M.expect(value)
  end
end

--- `test.expect(3).at_least(2).at_most(4)`
---@class splay.test.Expectation
---@field never splay.test.Expectation the same, negated
---@field equal fun(other: any): splay.test.Expectation the same value (`==`)
---@field same fun(other: any): splay.test.Expectation equal, tables by content
---@field is_nil fun(): splay.test.Expectation
---@field is_true fun(): splay.test.Expectation
---@field is_false fun(): splay.test.Expectation
---@field truthy fun(): splay.test.Expectation
---@field falsy fun(): splay.test.Expectation
---@field matches fun(pattern: string): splay.test.Expectation a string matching a Lua pattern
---@field near fun(other: number, eps: number?): splay.test.Expectation
---@field at_least fun(limit: number|string): splay.test.Expectation
---@field at_most fun(limit: number|string): splay.test.Expectation
---@field contains fun(item: any): splay.test.Expectation a substring, or a value of a table
---@field is_a fun(typename: string): splay.test.Expectation
---@field errors fun(pattern: string?): splay.test.Expectation a function that raises

--- States something about a value; a test without any such statement fails. Statements chain:
--- each returns the expectation, not negated.
---
--- ```lua
--- test.expect({ 1, 2 }).same({ 1, 2 })
--- test.expect(function() error("no") end).errors("no$")
--- test.expect("abc").never.contains("z")
--- ```
---
--- Errors: raises where the value is not as stated.
---@param value any
---@return splay.test.Expectation
function M.expect(value)
  return setmetatable({ value = value }, expectation)
end

--- Groups tests under a name; groups nest.
---
--- ```lua not run: it belongs into a file of tests
--- test.describe("queue", function() test.it("is empty at first", function() end) end)
--- ```
---@param name string
---@param body fun()
function M.describe(name, body)
  local outer = suite
  local full = outer.name == "" and name or outer.name .. ": " .. name
  suite = { name = full, before = {}, after = {}, parent = outer }
  body()
  suite = outer
end

--- Adds a test.
---
--- ```lua not run: it belongs into a file of tests
--- test.it("dup copies", function() test.expect(misc.dup(5)).equal(5) end)
--- ```
---@param name string
---@param body fun()
---@param timeout number? seconds, instead of `test.timeout`
function M.it(name, body, timeout)
  local full = suite.name == "" and name or suite.name .. ": " .. name
  local where = debug.getinfo and debug.getinfo(body, "S")
  where = where and where.linedefined > 0 and where.short_src .. ":" .. where.linedefined .. ": "
  tests[#tests + 1] =
    { name = full, body = body, timeout = timeout, suite = suite, where = where or "" }
end

--- Runs `f` before each test of the enclosing group.
---
--- ```lua not run: it belongs into a file of tests
--- test.before_each(function() q = queue.new() end)
--- ```
---@param f fun()
function M.before_each(f) suite.before[#suite.before + 1] = f end

--- Runs `f` after each test of the enclosing group, also after a failed one.
---
--- ```lua not run: it belongs into a file of tests
--- test.after_each(function() net.stop_server(20000) end)
--- ```
---@param f fun()
function M.after_each(f) suite.after[#suite.after + 1] = f end

local function before_all(group)
  if group.parent then before_all(group.parent) end
  for _, f in ipairs(group.before) do f() end
end

local function after_all(group)
  for i = #group.after, 1, -1 do group.after[i]() end
  if group.parent then after_all(group.parent) end
end

local function explain(reason)
  reason = tostring(reason)
  if current then
    for _, text in ipairs(current.failures) do
      if text == reason then return reason end
    end
  end
  local lines = {}
  for line in debug.traceback(reason, 1):gmatch("[^\n]+") do
    local frame = line:match("^%s+(.*)")
    if frame and frame:sub(1, #here) == here then
      if #lines > 2 then break end -- below the test there is only this file
    else
      lines[#lines + 1] = line
    end
  end
  return table.concat(lines, "\n")
end

--- Runs one test; returns its failures (empty: it passed).
local function run_test(events, t)
  local state = { asserted = 0, failures = {} }
  current = state
  local function part(f, group)
    local ok, reason = xpcall(f, explain, group)
    if ok then return end
    for _, text in ipairs(state.failures) do
      if text == reason then return end
    end
    state.failures[#state.failures + 1] = reason
  end
  local done = {} -- a key nobody else has
  local finished = false
  local limit = t.timeout or M.timeout
  local thread = events.thread(function()
    part(function()
      before_all(t.suite)
      t.body()
    end)
    part(after_all, t.suite)
    finished = true
    events.fire(done)
  end)
  local ok = events.wait(done, limit)
  if not ok and not finished then
    events.kill(thread)
    local text = ("%sstill running after %g s"):format(t.where, limit)
    state.failures[#state.failures + 1] = text
  elseif state.asserted == 0 and #state.failures == 0 then
    state.failures[1] = t.where .. "asserted nothing"
  end
  current = nil
  return state.failures
end

--- The text after `--filter` among the program's arguments.
local function wanted_text()
  for i, word in ipairs(arg or {}) do
    if word == "--filter" then return arg[i + 1] end
  end
end

--- Runs all tests, prints a line for each and a summary, and ends the process
--- (status 0: all passed). With the arguments `--filter TEXT`, only tests run whose full name
--- contains that text.
---
--- ```lua not run: it belongs into a file of tests
--- test.run()
--- ```
function M.run()
  local events = require "splay.events"
  local function all()
    local passed, failed = 0, 0
    local text, chosen = wanted_text(), {}
    for _, t in ipairs(tests) do
      if not text or t.name:find(text, 1, true) then chosen[#chosen + 1] = t end
    end
    for i, t in ipairs(chosen) do
      local failures = run_test(events, t)
      if #failures == 0 then
        passed = passed + 1
        print(("ok %d - %s"):format(i, t.name))
      else
        failed = failed + 1
        print(("not ok %d - %s"):format(i, t.name))
        for _, text in ipairs(failures) do print("    " .. text:gsub("\n", "\n    ")) end
      end
    end
    if #tests == 0 then
      failed = 1
      print("not ok 1 - no test is defined")
    end
    print(("%d passed, %d failed"):format(passed, failed))
    os.exit(failed > 0 and 1 or 0)
  end
  if coroutine.running() then all() else events.run(all) end
end

return M
