--- Records in a file: what an application must find again after it has crashed. A record is any
--- value that `splay.benc` encodes but nil. What has been appended survives the end of the
--- program; whether it survives that of the machine is up to the operating system.
---
--- ```lua
--- local log = journal.open("votes")
--- log:replace({})
--- log:append({ term = 3, vote = 1 })
--- -- in the next run
--- local again, records = journal.open("votes")
--- records  --> { { term = 3, vote = 1 } }
--- ```
---
--- Since: 0.1
local benc, llenc = require "splay.benc", require "splay.llenc"

local M = {}

--- `local log = assert(journal.open("rounds"))`
---@class splay.journal
---@field name string of the file
---@field file file*? nil once closed
local Journal = {}
Journal.__index = Journal

local function frame(record) return llenc.encode(benc.encode(record)) end

-- The whole records at the beginning of a text, and whether something torn follows.
local function parse(text)
  local records, at = {}, 1
  while true do
    local _, head, length = text:find("^(%d+)\n", at)
    local last = head and head + tonumber(length)
    if not last or last > #text then return records, at <= #text end
    local ok, record = pcall(benc.decode, text:sub(head + 1, last))
    if not ok then return records, true end
    records[#records + 1] = record
    at = last + 1
  end
end

--- Opens a journal, or makes an empty one. A record torn by a crash in the middle of `append` is
--- dropped with all that follows it.
---
--- `local log, records = journal.open("empty")`
--- `records  --> {}`
---
--- Errors: `nil, "reason"` if the file cannot be written.
---@param name string of the file
---@return splay.journal? journal nil, "reason" if the file cannot be written
---@return table|string records in the order they were appended
function M.open(name)
  local text, file, reason = "", io.open(name, "rb"), nil
  if file then
    text = file:read("*a") or ""
    file:close()
  end
  local records, torn = parse(text)
  local journal = setmetatable({ name = name }, Journal)
  if torn then
    local ok
    ok, reason = journal:replace(records)
    if not ok then return nil, reason end
  else
    journal.file, reason = io.open(name, "ab")
    if not journal.file then return nil, reason end
  end
  return journal, records
end

--- Adds a record.
---
--- `log:append({ term = 3, vote = 1 })  --> true`
---
--- Errors: `nil, "reason"` if it cannot be written. Raises as `benc.encode`.
---@param record any
---@return true? appended nil, "reason" if it could not be written
---@return string? reason
function Journal:append(record)
  local ok, reason = self.file:write(frame(record))
  if ok then ok, reason = self.file:flush() end
  if not ok then return nil, reason end
  return true
end

--- Replaces all records at once: after a crash, either the old or the new ones are there.
---
--- `log:replace({ { term = 4, vote = 2 } })  --> true`
---
--- Errors: `nil, "reason"` if they cannot be written; the old records stay. Raises as
--- `benc.encode`.
---@param records any[]
---@return true? replaced nil, "reason" if they could not be written
---@return string? reason
function Journal:replace(records)
  local frames = {}
  for i, record in ipairs(records) do frames[i] = frame(record) end
  local file, reason = io.open(self.name .. ".new", "wb")
  if not file then return nil, reason end
  local ok
  ok, reason = file:write(table.concat(frames))
  if ok then ok, reason = file:flush() end
  if ok then ok, reason = os.rename(self.name .. ".new", self.name) end
  if not ok then
    file:close()
    return nil, reason
  end
  if self.file then self.file:close() end
  self.file = file
  return true
end

--- Closes the file.
---
--- `log:close()`
function Journal:close()
  if self.file then self.file:close() end
  self.file = nil
end

return M
