-- Runs examples and compares their results with what stands behind `-->`:
--   values, as Lua writes them; `...` at the end of a list or table: whatever follows
--   such as VALUES      values of the same types (and sizes) that differ from run to run
--   error TEXT          an error is raised, and TEXT is in it
--   prints TEXT         what was printed; further lines `--> TEXT` are further lines
local test = require "splay.test"
require "splay.base"
job = require("splay.utils").generate_job(1, 3, 20001)

-- The names that examples use for modules.
setmetatable(_G, {
  __index = function(_, name)
    local module = names[name]
    return module and require(module)
  end,
})

local REST = setmetatable({}, { __tostring = function() return "..." end })
local printed = {}

local function text_of(...)
  local parts = { ... }
  for i = 1, select("#", ...) do parts[i] = tostring(parts[i]) end
  return table.concat(parts, "\t")
end

-- What an example prints is kept, line by line.
local console = print
local function keep(...)
  for line in (text_of(...) .. "\n"):gmatch("(.-)\n") do printed[#printed + 1] = line end
end

local function show(v)
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) ~= "table" or v == REST then return tostring(v) end
  local parts = {}
  for k, e in pairs(v) do parts[#parts + 1] = ("[%s] = %s"):format(tostring(k), show(e)) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function show_all(values)
  local parts = {}
  for i = 1, values.n do parts[i] = show(values[i]) end
  return values.n == 0 and "nothing" or table.concat(parts, ", ")
end

local function matches(have, want, loosely)
  if want == REST then return true end
  if type(want) == "number" and type(have) == "number" then
    if loosely then return true end
    return have == want or math.abs(have - want) <= 1e-9 * math.abs(want)
  end
  if type(want) ~= "table" or type(have) ~= "table" then
    if loosely and type(want) == "string" then return type(have) == "string" and #have == #want end
    if loosely and type(want) == "boolean" then return type(have) == "boolean" end
    return have == want
  end
  local partial = false
  for k, v in pairs(want) do
    if v == REST then
      partial = true
    elseif not matches(have[k], v, loosely) then
      return false
    end
  end
  for k in pairs(have) do
    if want[k] == nil and not partial then return false end
  end
  return true
end

local function pack(...) return { n = select("#", ...), ... } end

local function without_blanks(text) return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")) end

-- `...` in a printed line stands for anything.
local function line_matches(have, want)
  local pattern = without_blanks(want):gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  pattern = pattern:gsub("%%%.%%%.%%%.", ".*")
  return without_blanks(have):find("^" .. pattern .. "$") ~= nil
end

local function fail(want, have) error(("promises %s, gives %s"):format(want, have), 0) end

-- Compares; `expected` are the texts behind `-->`.
local function check(expected, from, ok, ...)
  local values = pack(...)
  test.expect(true).is_true()
  local first = expected[1]
  local text = first:match("^error:?%s*(.*)")
  if text then
    local message = tostring(values[1])
    if ok or not message:find(text, 1, true) then
      fail(first, ok and show_all(values) or message)
    end
    return
  end
  if not ok then error(values[1], 0) end
  text = first:match("^prints%s+(.*)")
  if text then
    for i, want in ipairs(expected) do
      local have = printed[from + i]
      if not have or not line_matches(have, i == 1 and text or want) then
        fail(first, table.concat(printed, "\n", from + 1))
      end
    end
    if printed[from + #expected + 1] then fail("no more lines", printed[from + #expected + 1]) end
    return
  end
  local source = table.concat(expected, " ")
  local loosely = source:match("^such as%s+(.*)")
  local read = assert(loadstring("return " .. (loosely or source), "=result"))
  local wanted = pack(read(REST))
  local open = wanted[wanted.n] == REST
  local count = open and wanted.n - 1 or math.max(wanted.n, values.n)
  for i = 1, count do
    if not matches(values[i], wanted[i], loosely) then fail(source, show_all(values)) end
  end
end

-- Finds where the last expression of a text begins: the text behind is a chunk after `return `.
local function last_expression(code)
  local starts = { 1 }
  for at in code:gmatch("[;\n]()") do starts[#starts + 1] = at end
  for _, at in ipairs(starts) do
    local expression = code:sub(at)
    if expression:find("%S") and loadstring("return " .. expression) then return at end
  end
end

-- The program an example is: after each piece with a result, a call of `check`.
local function program(code, expectations)
  local out, piece = {}, {}
  local expected -- of the last piece: later lines may add to it
  local function finish(text)
    expected = { text }
    expectations[#expectations + 1] = expected
    local source = table.concat(piece, "\n")
    local at = last_expression(source)
    local before = at and source:sub(1, at - 1) or ""
    local what = at and "return " .. source:sub(at) or source
    out[#out + 1] = ("%s _check(%d, printed(), pcall(function() %s\nend))"):format(
      before, #expectations, what)
    piece = {}
  end
  for line in (code .. "\n"):gmatch("(.-)\n") do
    local statement, text = line:match("^(.-)%s*%-%->%s*(.*)$")
    if not statement then
      if line:find("%S") then piece[#piece + 1], expected = line, nil end
    elseif statement:find("%S") then
      piece[#piece + 1] = statement
      finish(text)
    elseif expected then
      expected[#expected + 1] = text
    else
      finish(text)
    end
  end
  out[#out + 1] = table.concat(piece, "\n")
  return table.concat(out, "\n")
end

local count = {}

function example(name, begin, code)
  count[name] = (count[name] or 0) + 1
  test.it(("%s, example %d"):format(name, count[name]), function()
    local expectations = {}
    local text = program((begin and begin .. "\n" or "") .. code, expectations)
    local source = "local _check, printed = ...\n" .. text
    local run, reason = loadstring(source, "=example")
    if not run then error(reason .. "\n" .. source, 0) end
    printed, print = {}, keep
    local ok, failure = pcall(run, function(i, from, ...) check(expectations[i], from, ...) end,
      function() return #printed end)
    print = console
    if not ok then error(failure, 0) end
    test.expect(true).is_true() -- it has run to its end
  end, 100)
end
