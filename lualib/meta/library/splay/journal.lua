---@meta splay.journal
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

--- `local log = assert(journal.open("rounds"))`
---@class splay.journal
---@field name string of the file
---@field file file*? nil once closed
local Journal = {}

local M = {}

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
function M.open(name) end

--- Adds a record.
---
--- `log:append({ term = 3, vote = 1 })  --> true`
---
--- Errors: `nil, "reason"` if it cannot be written. Raises as `benc.encode`.
---@param record any
---@return true? appended nil, "reason" if it could not be written
---@return string? reason
function Journal:append(record) end

--- Replaces all records at once: after a crash, either the old or the new ones are there.
---
--- `log:replace({ { term = 4, vote = 2 } })  --> true`
---
--- Errors: `nil, "reason"` if they cannot be written; the old records stay. Raises as
--- `benc.encode`.
---@param records any[]
---@return true? replaced nil, "reason" if they could not be written
---@return string? reason
function Journal:replace(records) end

--- Closes the file.
---
--- `log:close()`
function Journal:close() end

return M
