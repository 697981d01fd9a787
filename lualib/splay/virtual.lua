--- What a program finds of the world where time is virtual: every clock is the simulation's, the
--- time zone is UTC, there is no environment. Run once, before the program. What other programs
--- answer (`os.execute`, `io.popen`) is their own affair: a run repeats itself as far as they do.

local core = require "splay.misc_core"
local date, floor = os.date, math.floor

-- Days from 1970-01-01 to a day of the proleptic Gregorian calendar; `month` may lie outside 1 to
-- 12. After H. Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so
-- that the leap day comes last.
local function days(year, month, day)
  year = year + floor((month - 1) / 12)
  month = (month - 1) % 12 + 1
  if month <= 2 then year = year - 1 end
  local era = floor(year / 400)
  local of_era = year - era * 400
  local of_year = floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return era * 146097 + of_era * 365 + floor(of_era / 4) - floor(of_era / 100) + of_year - 719468
end

local function field(parts, name, default)
  local value = tonumber(parts[name]) or default
  if not value then error("field '" .. name .. "' missing in date table", 3) end
  return floor(value)
end

function os.time(parts)
  if parts == nil then return floor(core.time()) end
  local day = days(field(parts, "year"), field(parts, "month"), field(parts, "day"))
  local hour, minute = field(parts, "hour", 12), field(parts, "min", 0)
  return day * 86400 + hour * 3600 + minute * 60 + field(parts, "sec", 0)
end

function os.date(format, time)
  format = format or "%c"
  if format:sub(1, 1) ~= "!" then format = "!" .. format end
  return date(format, time or floor(core.time()))
end

function os.clock() return core.now() end

function os.getenv() return nil end

-- The C library's names are random. Other simulations on the machine get the same ones.
local named = 0
function os.tmpname()
  named = named + 1
  local position = job and job.position or 0
  return ("/tmp/splay-sim-%d-%d"):format(position, named)
end

-- The locale is the process's, and would be that of all instances.
function os.setlocale(locale)
  if locale == nil or locale == "" or locale == "C" or locale == "POSIX" then return "C" end
  return nil
end

-- What a file is called otherwise is an address of the C library's.
local handles = getmetatable(io.stdout)
local numbers, count = setmetatable({}, { __mode = "k" }), 0

function handles.__tostring(file)
  if io.type(file) == "closed file" then return "file (closed)" end
  if not numbers[file] then
    count = count + 1
    numbers[file] = count
  end
  return ("file (0x%08x)"):format(numbers[file])
end

return true
