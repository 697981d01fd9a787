--- Statistics of what an application measures: running mean and variance, percentiles,
--- histograms, a line that sums them up.
---
--- Since: 0.1
local sqrt, floor, huge = math.sqrt, math.floor, math.huge

local M = {}

--- Mean and variance of numbers that are added one by one and not kept (Welford's method, which
--- stays exact when the mean is large and the variance small). A plain table of numbers: it can
--- be sent to another instance, and merged there.
---
--- `local s = stats.running({ 1, 2, 3 })`
---@class splay.stats.Running
---@field n integer how many numbers
---@field mean number their mean, 0 before the first
---@field m2 number sum of squared distances from the mean
---@field min number the least, infinite before the first
---@field max number the greatest, minus infinite before the first
local Running = {}
Running.__index = Running

--- Starts a running mean and variance.
---
--- `local s = stats.running(); s:add(1); s:add(3)`
--- `s.mean  --> 2`
---@param list number[]? numbers to add at once
---@return splay.stats.Running
function M.running(list)
  local s = setmetatable({ n = 0, mean = 0, m2 = 0, min = huge, max = -huge }, Running)
  for _, x in ipairs(list or {}) do s:add(x) end
  return s
end

--- Adds a number.
---
--- `s:add(6)`
--- `s.mean  --> 3`
---@param x number
function Running:add(x)
  self.n = self.n + 1
  local delta = x - self.mean
  self.mean = self.mean + delta / self.n
  self.m2 = self.m2 + delta * (x - self.mean)
  if x < self.min then self.min = x end
  if x > self.max then self.max = x end
end

--- Adds all that another one has seen, as if its numbers had been added here.
---
--- `s:merge(stats.running({ 6 }))`
--- `s.n  --> 4`
---@param other splay.stats.Running
function Running:merge(other)
  if other.n == 0 then return end
  local n, delta = self.n + other.n, other.mean - self.mean
  self.m2 = self.m2 + other.m2 + delta * delta * self.n * other.n / n
  self.mean = self.mean + delta * other.n / n
  self.n = n
  if other.min < self.min then self.min = other.min end
  if other.max > self.max then self.max = other.max end
end

--- The variance of the population that the numbers are a sample of.
---
--- `s:variance()  --> 1`
---@return number variance 0 for less than two numbers
function Running:variance()
  return self.n > 1 and self.m2 / (self.n - 1) or 0
end

--- The standard deviation: the root of the variance.
---
--- `s:deviation()  --> 1`
---@return number
function Running:deviation() return sqrt(self:variance()) end

--- The numbers in one line.
---
--- `s:text()  --> "3 values, mean 2, deviation 1, 1 to 3"`
---@return string
function Running:text()
  if self.n == 0 then return "no value" end
  return ("%d values, mean %.4g, deviation %.4g, %.4g to %.4g"):format(
    self.n, self.mean, self:deviation(), self.min, self.max)
end

local function sorted(list)
  local copy = {}
  for i = 1, #list do copy[i] = list[i] end
  table.sort(copy)
  return copy
end

-- The percentile of a sorted list: the point at p % of the way from its first to its last number.
local function at(list, p)
  local place = 1 + (#list - 1) * p / 100
  local below = floor(place)
  local low, high = list[below], list[below + 1]
  return high and low + (high - low) * (place - below) or low
end

--- Percentiles of an array: the number at `p` % of the way through its sorted order, interpolated
--- between neighbours.
---
--- `stats.percentile({4, 1, 3, 2}, 50)  --> 2.5`
--- `stats.percentile({4, 1, 3, 2}, 0, 100)  --> 1, 4`
---
--- Errors: raises for a `p` that is not between 0 and 100.
---@param list number[] in any order; stays as it is
---@param ... number each from 0 to 100
---@return number? ... one for each `p`; nil for an empty array
function M.percentile(list, ...)
  local order, values = sorted(list), { ... }
  for i, p in ipairs(values) do
    if type(p) ~= "number" or p < 0 or p > 100 then
      error("percentile: not between 0 and 100: " .. tostring(p), 2)
    end
    values[i] = at(order, p) or nil
  end
  return unpack(values, 1, select("#", ...))
end

--- The number in the middle.
---
--- `stats.median({9, 1, 2})  --> 2`
---@param list number[]
---@return number? # nil for an empty array
function M.median(list) return (M.percentile(list, 50)) end

--- An array of numbers in one line.
---
--- ```lua
--- stats.summary({ 1, 2, 3 })
---   --> "3 values, mean 2, deviation 1; min 1, 50 % 2, 90 % 2.8, 99 % 2.98, max 3"
--- ```
---@param list number[]
---@return string
function M.summary(list)
  if #list == 0 then return "no value" end
  local order, s = sorted(list), M.running(list)
  return ("%d values, mean %.4g, deviation %.4g; min %.4g, 50 %% %.4g, 90 %% %.4g, 99 %% %.4g, "
    .. "max %.4g"):format(s.n, s.mean, s:deviation(), s.min, at(order, 50), at(order, 90),
    at(order, 99), s.max)
end

--- Counts of numbers in equal intervals. Each holds its lower bound and not its upper one, but
--- for the last, which holds both. Numbers outside are counted apart.
---
--- `local h = stats.histogram(0, 4, 2, { 1, 3 })`
---@class splay.stats.Histogram
---@field from number
---@field to number
---@field counts integer[] one for each interval
---@field n integer all numbers added
---@field below integer those under `from`
---@field above integer those over `to`
local Histogram = {}
Histogram.__index = Histogram

--- Starts a histogram.
---
--- `local h = stats.histogram(0, 10, 5); h:add(3)`
--- `h.counts  --> { 0, 1, 0, 0, 0 }`
---
--- Errors: raises unless `from` is less than `to` and there is an interval.
---@param from number
---@param to number greater than `from`
---@param bins integer? intervals, default 10
---@param list number[]? numbers to add at once
---@return splay.stats.Histogram
function M.histogram(from, to, bins, list)
  bins = bins or 10
  if not (from < to) or bins < 1 or bins % 1 ~= 0 then
    error("histogram: no such intervals", 2)
  end
  local h = { from = from, to = to, counts = {}, n = 0, below = 0, above = 0 }
  for i = 1, bins do h.counts[i] = 0 end
  setmetatable(h, Histogram)
  for _, x in ipairs(list or {}) do h:add(x) end
  return h
end

--- Counts a number.
---
--- `h:add(3)`
--- `h.counts  --> { 1, 2 }`
---@param x number
function Histogram:add(x)
  self.n = self.n + 1
  if x < self.from then
    self.below = self.below + 1
  elseif x > self.to then
    self.above = self.above + 1
  else
    local bins = #self.counts
    local i = math.min(bins, 1 + floor((x - self.from) / (self.to - self.from) * bins))
    self.counts[i] = self.counts[i] + 1
  end
end

--- The histogram as lines of text: lower bound of each interval, count, bar.
---
--- ```lua
--- print(h:text(10))
--- --> prints 0  1 ##########
--- --> 2  1 ##########
--- ```
---@param width integer? characters of the longest bar, default 50
---@return string
function Histogram:text(width)
  width = width or 50
  local most, lines = 1, {}
  for _, count in ipairs(self.counts) do most = math.max(most, count) end
  local labels, longest, digits = {}, 0, #tostring(most)
  for i = 1, #self.counts do
    labels[i] = ("%.4g"):format(self.from + (self.to - self.from) * (i - 1) / #self.counts)
    longest = math.max(longest, #labels[i])
  end
  for i, count in ipairs(self.counts) do
    local bar = ("#"):rep(floor(count / most * width + 0.5))
    lines[i] = ("%" .. longest .. "s  %" .. digits .. "d %s"):format(labels[i], count, bar)
      :gsub("%s+$", "")
  end
  if self.below > 0 then table.insert(lines, 1, self.below .. " below") end
  if self.above > 0 then lines[#lines + 1] = self.above .. " above" end
  return table.concat(lines, "\n")
end

return M
