--- What a user may say about a run of an application: its parameters, and how many of its
--- instances are to crash.
---
--- ```lua
--- local cli = require "splay.cli"
--- local p = cli.parameters { period = 1, name = "ring", crash = 0, stay = false }
--- p.period  --> 1
--- -- and after `splay run app.lua -n 50 -- period=0.5 stay`, 0.5
--- ```
---
--- Since: 0.1
local M = {}

local words_of = { ["true"] = true, yes = true, ["1"] = true,
  ["false"] = false, no = false, ["0"] = false }

-- `text` as a value of the type of `default`, or an error.
local function convert(name, text, default)
  local value = text
  if type(default) == "number" then value = tonumber(text)
  elseif type(default) == "boolean" then value = words_of[text] end
  if value == nil then
    error(("parameter `%s`: `%s` is not a %s"):format(name, text, type(default)), 0)
  end
  return value
end

-- Letters to add, leave out or replace to get from one name to the other.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local above = row[0] -- of the row before, left of column j
    row[0] = i
    for j = 1, #b do
      local replaced = above + (a:byte(i) == b:byte(j) and 0 or 1)
      above = row[j]
      row[j] = math.min(replaced, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

-- The parameter that was meant, if one is like it: a letter in three may differ.
local function likest(name, defaults)
  local best, least = nil, math.max(1, math.floor(#name / 3)) + 1
  for k in pairs(defaults) do
    local d = distance(name, k)
    if d < least or (d == least and best and k < best) then best, least = k, d end
  end
  return best
end

local function unknown(name, defaults)
  local known = {}
  for k, v in pairs(defaults) do known[#known + 1] = ("%s (%s)"):format(k, tostring(v)) end
  table.sort(known)
  local meant = likest(name, defaults)
  error(("unknown parameter `%s`; %sthere are: %s"):format(name,
    meant and ("did you mean `%s`? "):format(meant) or "", table.concat(known, ", ")), 0)
end

--- The parameters of an application: defaults, changed by the job's arguments (`job.args`, an
--- array or one line of text), these by the command line. An argument is `name=value` or, for a
--- boolean, its name alone; it has the type of its default. Numbers at the beginning, the
--- position and total of a run by hand, are skipped. A name without a default, or a value of
--- another type, raises an error that names it.
---
--- ```lua
--- cli.parameters({ period = 1, stay = false }, { "3", "50", "period=2" })
---   --> { period = 2, stay = false }
--- cli.parameters({ period = 1 }, { "perriod=2" })
---   --> error unknown parameter `perriod`; did you mean `period`? there are: period (1)
--- ```
---
--- Errors: raises for a name without a default and a value of another type.
---@param defaults table<string, number|string|boolean>
---@param list string[]? instead of the job's arguments and the global `arg`
---@return table<string, any> parameters a table of its own
function M.parameters(defaults, list)
  local parameters = {}
  for name, value in pairs(defaults) do
    local kind = type(value)
    if kind ~= "number" and kind ~= "string" and kind ~= "boolean" then
      error(("parameters: default of `%s` is a %s"):format(name, kind), 2)
    end
    parameters[name] = value
  end

  local function read(words)
    local leading = true
    for _, text in ipairs(words) do
      text = tostring(text)
      local name, value = text:match("^%-*([^=]+)=(.*)$")
      if name then
        leading = false
        if defaults[name] == nil then unknown(name, defaults) end
        parameters[name] = convert(name, value, defaults[name])
      elseif not (leading and tonumber(text)) then
        leading = false
        name = text:match("^%-*(.*)$")
        if defaults[name] == nil then unknown(name, defaults) end
        if type(defaults[name]) ~= "boolean" then
          error(("parameter `%s` needs a value: %s=..."):format(name, name), 0)
        end
        parameters[name] = true
      end
    end
  end

  if list then
    read(list)
    return parameters
  end
  local job, given = _G.job, nil
  if type(job) == "table" then given = job.args end
  if type(given) == "string" then given = require("splay.misc").split(given, "%s") end
  read(given or {})
  read(_G.arg or {})
  return parameters
end

--- Makes this instance crash with a probability: at a random time of the run it prints a line and
--- ends at once, without a word to the others. The first instance, which judges the others in
--- most applications, never crashes. A picture of the overlay (`view`) has it among the dead.
---
--- `cli.crash(0, 20)  --> nil`
---
--- Errors: raises unless probability and time are numbers.
---@param probability number 0: never, 1: surely
---@param within number seconds from now in which it happens
---@param after number? but not before so many seconds, default 0
---@return number|nil time seconds from now of the crash, nil if there will be none
function M.crash(probability, within, after)
  if type(probability) ~= "number" or type(within) ~= "number" then
    error("crash: a probability and a number of seconds", 2)
  end
  local job = _G.job
  if type(job) == "table" and job.position == 1 then return nil end
  if math.random() >= probability then return nil end
  after = math.min(after or 0, within)
  local time = after + math.random() * (within - after)
  local events = require "splay.events"
  events.thread(function()
    events.sleep(time)
    print(("crashes after %.1f s"):format(time))
    _G.view = nil -- who crashes shows nothing
    os.exit(0)
  end)
  return time
end

return M
