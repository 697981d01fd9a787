---@meta splay.stats
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

---@class splay.stats
local M = {}

--- Starts a running mean and variance.
---
--- `local s = stats.running(); s:add(1); s:add(3)`
--- `s.mean  --> 2`
---@param list number[]? numbers to add at once
---@return splay.stats.Running
function M.running(list) end

--- Adds a number.
---
--- `s:add(6)`
--- `s.mean  --> 3`
---@param x number
function Running:add(x) end

--- Adds all that another one has seen, as if its numbers had been added here.
---
--- `s:merge(stats.running({ 6 }))`
--- `s.n  --> 4`
---@param other splay.stats.Running
function Running:merge(other) end

--- The variance of the population that the numbers are a sample of.
---
--- `s:variance()  --> 1`
---@return number variance 0 for less than two numbers
function Running:variance() end

--- The standard deviation: the root of the variance.
---
--- `s:deviation()  --> 1`
---@return number
function Running:deviation() end

--- The numbers in one line.
---
--- `s:text()  --> "3 values, mean 2, deviation 1, 1 to 3"`
---@return string
function Running:text() end

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
function M.percentile(list, ...) end

--- The number in the middle.
---
--- `stats.median({9, 1, 2})  --> 2`
---@param list number[]
---@return number? # nil for an empty array
function M.median(list) end

--- An array of numbers in one line.
---
--- ```lua
--- stats.summary({ 1, 2, 3 })
---   --> "3 values, mean 2, deviation 1; min 1, 50 % 2, 90 % 2.8, 99 % 2.98, max 3"
--- ```
---@param list number[]
---@return string
function M.summary(list) end

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
function M.histogram(from, to, bins, list) end

--- Counts a number.
---
--- `h:add(3)`
--- `h.counts  --> { 1, 2 }`
---@param x number
function Histogram:add(x) end

--- The histogram as lines of text: lower bound of each interval, count, bar.
---
--- ```lua
--- print(h:text(10))
--- --> prints 0  1 ##########
--- --> 2  1 ##########
--- ```
---@param width integer? characters of the longest bar, default 50
---@return string
function Histogram:text(width) end

return M
