--- A drop-in `io` that keeps an instance's files in one folder, under hashed flat names, within
--- limits of space, files and descriptors. Call `init` first.
---
--- ```lua
--- io = require "splay.restricted_io"
--- io.init({ directory = ".", no_std = true, max_size = 2^20, max_files = 100, clean = true })
--- io.open("any/name", "w"):write("x")  --> true
--- ```
---
--- Since: 0.1
--- Manual: 'splay.restricted_io'
-- Programs that may not escape also have `setfenv` and can change `string`, `table` and `io`:
-- everything used here is taken once, at load, and real file handles are never handed out.
local md5 = require("splay.md5_core").hex
local real, real_remove, real_rename = io, os.remove, os.rename
local real_open, real_execute = io.open, os.execute
local type, tostring, pairs, ipairs, select = type, tostring, pairs, ipairs, select
local error, setmetatable, getmetatable, unpack = error, setmetatable, getmetatable, unpack
local find, sub, gsub, match = string.find, string.sub, string.gsub, string.match
local collectgarbage, format, sort = collectgarbage, string.format, table.sort

local M = {}

---@class splay.restricted_io.Settings
---@field directory string folder of the files, mandatory
---@field no_std boolean? no stdin, stdout, stderr
---@field keep_popen boolean? leave popen
---@field max_file_descriptors integer? open files
---@field max_size integer? bytes of all files
---@field max_files integer?
---@field clean boolean? delete the files of earlier runs
---@field limit nil|fun(limit: string, reached: integer) told when a limit refuses something
---@field result nil|fun(name: string) told of files under `results/`
---@field hashes string[]? of the files that are there, from a host that lists the folder itself:
--- then there is no index
---@field stores nil|fun(files: integer, bytes: integer, fds: integer): integer, integer, integer
--- told what files take of the limits, tells what else does: it counts as files do

local settings ---@type splay.restricted_io.Settings?
-- By hash: {size: largest offset ever written, name, doomed: removed while open, so that its space
-- counts until it is closed}.
local records = {}
local files, used, descriptors = 0, 0, 0

-- What is behind an open file, by its object: {handle, record, position or nil, append}.
local states = setmetatable({}, { __mode = "k" })
local default_input, default_output
local temporary = 0

-- What object stores take of the limits, which are told what files do.
local function stores(more_files, more_bytes, more_descriptors)
  if not settings.stores then return 0, 0, 0 end
  return settings.stores(files + more_files, used + more_bytes, descriptors + more_descriptors)
end

-- A limit refuses something: the host is told.
local function met(limit, reached, reason)
  stores(0, 0, 0)
  if settings.limit then settings.limit(limit, reached) end
  return nil, reason
end

-- A file has that name now: the host is told of those it is to fetch.
-- What is wrong with the disk in an experiment with faults: reason and code, or nothing.
local function disk_fault(access)
  if settings.fault then return settings.fault(access) end
end

local function named(record, name)
  record.name = name
  if settings.result and sub(name, 1, 8) == "results/" then settings.result(name) end
end

local function path_of(hash) return settings.directory .. "/pfs_" .. hash end

-- The index remembers the hashes over runs: one line each, "+hash" or "-hash".
local index_lines = 0

local function write_index()
  if settings.hashes then return end
  local file = real_open(settings.directory .. "/pfs_index", "w")
  if not file then return end
  index_lines = 0
  for hash in pairs(records) do
    file:write("+", hash, "\n")
    index_lines = index_lines + 1
  end
  file:close()
end

local function note(sign, hash)
  if settings.hashes then return end
  if index_lines > 2 * files + 64 then return write_index() end
  local file = real_open(settings.directory .. "/pfs_index", "a")
  if not file then return end
  file:write(sign, hash, "\n")
  file:close()
  index_lines = index_lines + 1
end

-- Objects dropped without being closed give their descriptor and their space back.
local function recount()
  collectgarbage()
  descriptors, used = 0, 0
  for _, record in pairs(records) do used = used + record.size end
  local seen = {}
  for _, state in pairs(states) do
    descriptors = descriptors + 1
    local record = state.record
    if record.doomed and not seen[record] then
      seen[record] = true
      used = used + record.size
    end
  end
end

local function release(state)
  descriptors = descriptors - 1
  local record = state.record
  local last = record.doomed
  for _, other in pairs(last and states or {}) do
    if other.record == record then last = false end
  end
  if last then used = used - record.size end
  stores(0, 0, 0)
end

-- The file no longer has a name; open handles keep its space.
local function forget(hash)
  local record = records[hash]
  if not record then return end
  records[hash] = nil
  files, record.doomed = files - 1, true
  local open = false
  for _, state in pairs(states) do
    if state.record == record then open = true end
  end
  if not open then used = used - record.size end
  stores(0, 0, 0)
end

local function state_of(file)
  local state = states[file]
  if not state then error("attempt to use a closed file", 3) end
  return state
end

--- An open file.
---
--- ```lua
--- local file = io.open("notes", "w+")
--- ```
---@class splay.restricted_io.File
local File = {}
local metatable = {
  __index = File,
  __metatable = "FILE*",
  __tostring = function(file) return states[file] and "file (restricted)" or "file (closed)" end,
}

local function wrap(handle, record, position, append)
  local file = setmetatable({}, metatable)
  states[file] = { handle = handle, record = record, position = position, append = append }
  descriptors = descriptors + 1
  return file
end

-- The hashes of the files of earlier runs, as a set; makes the folder if need be.
local function read_index(directory)
  local name = directory .. "/pfs_index"
  local index, reason = real_open(name, "a")
  if not index and real_execute then
    -- splay: allow(blocks)
    real_execute("mkdir -p '" .. gsub(directory, "'", "'\\''") .. "'")
    index, reason = real_open(name, "a")
  end
  if not index then return nil, reason end
  index:close()
  local hashes = {}
  for line in real.lines(name) do
    local sign, hash = match(line, "^([+-])(%x+)$")
    if sign then hashes[hash] = sign == "+" or nil end
  end
  return hashes
end

--- Makes the restricted file system. Can be called once.
---
--- `io.init({ directory = "." })  --> false, "init() already called"`
---
--- Errors: `false, "init() already called"`; `nil, "reason"` if the folder cannot be used.
--- Manual: 'splay.restricted_io'
---@param new_settings splay.restricted_io.Settings
---@return boolean? ok false or nil, "reason" if it cannot be made
---@return string? reason
function M.init(new_settings)
  if settings then return false, "init() already called" end
  if type(new_settings) ~= "table" then return false, "no settings" end
  if type(new_settings.directory) ~= "string" then return false, "no directory" end
  local copy = {}
  for k, v in pairs(new_settings) do copy[k] = v end
  local hashes, reason = {}, nil
  if copy.hashes then
    for _, hash in ipairs(copy.hashes) do hashes[hash] = true end
  else
    hashes, reason = read_index(copy.directory)
    if not hashes then return nil, reason end
  end
  settings = copy
  for hash in pairs(hashes) do
    local file = not copy.clean and real_open(path_of(hash), "r")
    if file then
      local size = file:seek("end") or 0
      file:close()
      records[hash] = { size = size }
      files, used = files + 1, used + size
    else
      real_remove(path_of(hash))
    end
  end
  write_index()
  if not copy.no_std then
    M.stdin, M.stdout, M.stderr = real.stdin, real.stdout, real.stderr
  end
  if copy.keep_popen then M.popen = real.popen end
  return true
end

--- Opens a file of the restricted file system; any name is legal.
---
--- `io.open("a/b", "w"):close()  --> true`
--- `io.open("missing")           --> nil, "Error opening file missing"`
---
--- Errors: `nil, "reason"`: "Maximum number of files reached." and others; see
--- [errors](../errors.md).
---@param name string
---@param mode string? as for Lua's `io.open`, default "r"
---@return table? file nil, "reason" if it cannot be opened
---@return string? reason
function M.open(name, mode)
  if not settings then return nil, "restricted_io is not initialized" end
  mode = mode or "r"
  if type(name) == "number" then name = tostring(name) end
  if type(name) ~= "string" then error("bad argument #1 to 'open' (string expected)", 2) end
  if type(mode) ~= "string" then error("bad argument #2 to 'open' (string expected)", 2) end
  local failed = "Error opening file " .. name
  if not find(mode, "^[rwa]b?%+?b?$") then return nil, failed end
  local limit = settings.max_file_descriptors
  local hash, kind = md5(name), sub(mode, 1, 1)
  local record = records[hash]
  local other_files, _, other_descriptors = stores(record and 0 or 1, 0, 1)
  if limit and descriptors + other_descriptors >= limit then
    recount()
    local reason = "Maximum file descriptors reached"
    if descriptors + other_descriptors >= limit then
      return met("max_file_descriptors", limit + 1, reason)
    end
  end
  if not record then
    if kind == "r" then
      stores(0, 0, 0)
      return nil, failed
    end
    if settings.max_files and files + other_files >= settings.max_files then
      return met("max_files", files + 1, "Maximum number of files reached.")
    end
  end
  local fault, fault_code = disk_fault(kind == "r" and "read" or "write")
  if fault then return nil, name .. ": " .. fault, fault_code end
  local handle = real_open(path_of(hash), mode)
  if not handle then
    stores(0, 0, 0)
    return nil, failed
  end
  if not record then
    record = { size = 0 }
    records[hash], files = record, files + 1
    note("+", hash)
  elseif kind == "w" then
    used, record.size = used - record.size, 0
  end
  named(record, name)
  return wrap(handle, record, 0, kind == "a")
end

--- Writes strings and numbers.
---
--- `file:write("one", 2, "\n")  --> true`
---
--- Errors: `nil, "No disk space"` if it does not fit: nothing is written then.
---@param ... string|number
---@return boolean? ok nil, "No disk space" if they do not fit: then nothing is written
---@return string? reason
function File:write(...)
  local state = state_of(self)
  local n, length, parts = select("#", ...), 0, { ... }
  for i = 1, n do
    local part = parts[i]
    if type(part) == "number" then
      part = tostring(part)
      parts[i] = part
    elseif type(part) ~= "string" then
      error(format("bad argument #%d to 'write' (string expected, got %s)", i, type(part)), 2)
    end
    length = length + #part
  end
  local record = state.record
  local position = state.append and record.size or state.position or state.handle:seek("cur", 0)
  local growth = position + length - record.size
  if length == 0 or growth < 0 then growth = 0 end
  local limit = settings.max_size
  if growth > 0 then
    local _, other = stores(0, growth, 0)
    if limit and used + other + growth > limit then
      recount()
      local reached = used + other + growth
      if reached > limit then return met("max_size", reached, "No disk space") end
    end
  end
  local fault, fault_code = disk_fault(growth > 0 and "grow" or "write")
  if fault then return nil, fault, fault_code end
  local ok, reason, code = state.handle:write(unpack(parts, 1, n))
  if not ok then
    state.position = nil
    stores(0, 0, 0)
    return nil, reason, code
  end
  state.position, record.size, used = position + length, record.size + growth, used + growth
  return true
end

--- As in Lua's file:read.
---
--- ```lua
--- file:write("text")
--- file:seek("set")
--- file:read("*a")  --> "text"
--- ```
---
--- Errors: raises for a closed file.
---@param ... string|number formats, as of Lua
---@return any ... one value for each format, nil at the end
function File:read(...)
  local state = state_of(self)
  state.position = nil
  local fault, fault_code = disk_fault("read")
  if fault then return nil, fault, fault_code end
  return state.handle:read(...)
end

--- As in Lua's file:lines.
---
--- ```lua
--- file:write("a\nb\n")
--- file:seek("set")
--- file:lines()()  --> "a"
--- ```
---
--- Errors: raises for a closed file.
---@param ... string|number formats, as of Lua
---@return fun(): string?
function File:lines(...)
  local formats, n = { ... }, state_of(self) and select("#", ...)
  return function() return File.read(self, unpack(formats, 1, n)) end
end

--- As in Lua's file:seek.
---
--- `file:write("text")`
--- `file:seek("set", 1)  --> 1`
---
--- Errors: `nil, "reason"`. Raises for a closed file.
---@param whence "set"|"cur"|"end"|nil "cur" if absent
---@param offset integer? bytes, 0 if absent
---@return integer? position in bytes from the beginning; nil, "reason"
---@return string? reason
function File:seek(whence, offset)
  local state = state_of(self)
  local position, reason, code = state.handle:seek(whence or "cur", offset or 0)
  state.position = position
  return position, reason, code
end

--- As in Lua's file:flush.
---
--- `file:flush()  --> true`
---
--- Errors: `nil, "reason"`. Raises for a closed file.
---@return true? ok nil, "reason"
---@return string? reason
function File:flush()
  local ok, reason, code = state_of(self).handle:flush()
  if not ok then return nil, reason, code end
  return true
end

--- As in Lua's file:setvbuf.
---
--- `file:setvbuf("full", 1024)  --> true`
---
--- Errors: raises for a closed file.
---@param ... any mode and size in bytes, as of Lua
---@return boolean? ok
function File:setvbuf(...) return state_of(self).handle:setvbuf(...) end

--- The file's size in bytes.
---
--- `file:write("text")`
--- `file:size()  --> 4`
---
--- Errors: raises for a closed file.
---@return integer
function File:size() return state_of(self).record.size end

--- As in Lua's file:close.
---
--- `file:close()  --> true`
---
--- Errors: `nil, "reason"`. Raises for a closed file.
---@return true? ok nil, "reason"
---@return string? reason
function File:close()
  local state = state_of(self)
  states[self] = nil
  if default_input == self then default_input = nil end
  if default_output == self then default_output = nil end
  local ok, reason, code = state.handle:close()
  release(state)
  if not ok then return nil, reason, code end
  return true
end

local function standard(which) return settings and not settings.no_std and real[which] or nil end

local function as_file(value, mode)
  if type(value) ~= "string" then return value end
  local file, reason = M.open(value, mode)
  if not file then error(reason, 3) end
  return file
end

--- Sets (by name or file) and returns the default input.
---
--- `io.open("in", "w"):close()`
--- `io.input("in")  --> io.input()`
---
--- Errors: raises if the file cannot be opened.
---@param file (string|table)? name, or file
---@return table? file
function M.input(file)
  if file ~= nil then default_input = as_file(file, "r") end
  return default_input or standard("stdin")
end

--- Sets (by name or file) and returns the default output.
---
--- `io.output("out")  --> io.output()`
---
--- Errors: raises if the file cannot be opened.
---@param file (string|table)? name, or file
---@return table? file
function M.output(file)
  if file ~= nil then default_output = as_file(file, "w") end
  return default_output or standard("stdout")
end

-- Calls a method of a file; of none if there is no default one.
local function of_default(name, file, ...)
  if not file then return nil, "no default file" end
  return file[name](file, ...)
end

--- Reads from the default input.
---
--- ```lua
--- io.open("in", "w"):write("text")
--- io.input("in")
--- io.read("*a")  --> ""
--- ```
---
--- Errors: `nil, "no default file"`.
---@param ... string|number formats, as of Lua
---@return any ... one value for each format, nil at the end
function M.read(...) return of_default("read", M.input(), ...) end
--- Writes to the default output.
---
--- `io.output("out")`
--- `io.write("text")  --> true`
---
--- Errors: `nil, "no default file"`, and those of `File:write`.
---@param ... string|number
---@return boolean? ok
---@return string? reason
function M.write(...) return of_default("write", M.output(), ...) end
--- Flushes the default output.
---
--- `io.output("out")`
--- `io.flush()  --> true`
---
--- Errors: `nil, "no default file"`.
---@return boolean? ok
---@return string? reason
function M.flush() return of_default("flush", M.output()) end
--- Closes a file, or the default output.
---
--- `io.output("out")`
--- `io.close()  --> true`
---
--- Errors: `nil, "no default file"`.
---@param file table?
---@return boolean? ok
---@return string? reason
function M.close(file) return of_default("close", file or default_output) end

--- The lines of a file, which is closed at its end, or of the default input.
---
--- ```lua
--- local file = io.open("list", "w")
--- file:write("a\nb\n")
--- file:close()
--- for line in io.lines("list") do print(line) end
--- --> prints a
--- --> b
--- ```
---
--- Errors: raises if the file cannot be opened.
---@param name string? of a file, the default input if absent
---@param ... string|number formats, as of Lua
---@return fun(): string?
function M.lines(name, ...)
  if name == nil then
    local file = M.input()
    if not file then error("no default file", 2) end
    return file:lines()
  end
  local file = as_file(name, "r")
  local next_line = file:lines(...)
  return function()
    if not file then return nil end
    local line, reason = next_line()
    if line == nil then
      file = file:close() and nil
      if reason then error(reason, 2) end
    end
    return line
  end
end

--- `"file"`, `"closed file"`, or nil for anything else.
---
--- `io.type(io.open("a", "w"))  --> "file"`
--- `io.type(5)                  --> nil`
---@param value any
---@return "file"|"closed file"|nil
function M.type(value)
  if states[value] then return "file" end
  if type(value) == "table" and getmetatable(value) == "FILE*" then return "closed file" end
  return real.type(value)
end

--- Deletes a file.
---
--- `io.remove("missing")  --> nil, "missing: No such file or directory", 2`
---
--- Errors: `nil, "NAME: No such file or directory"` and others.
---@param name string
---@return true? ok
---@return string? reason
function M.remove(name)
  name = tostring(name)
  local hash = settings and md5(name)
  if not hash or not records[hash] then
    return nil, name .. ": No such file or directory", 2
  end
  local ok = real_remove(path_of(hash))
  if not ok then return nil, name .. ": cannot remove" end
  forget(hash)
  note("-", hash)
  return true
end

--- Renames a file; one that had the new name is replaced.
---
--- ```lua
--- io.open("old", "w"):close()
--- io.rename("old", "new")  --> true
--- io.exists("old")         --> false
--- ```
---
--- Errors: `nil, "NAME: No such file or directory"` and others.
---@param old string
---@param new string
---@return true? ok
---@return string? reason
function M.rename(old, new)
  old, new = tostring(old), tostring(new)
  local from = settings and md5(old)
  local record = from and records[from]
  if not record then return nil, old .. ": No such file or directory", 2 end
  local to = md5(new)
  if from == to then return true end
  local ok = real_rename(path_of(from), path_of(to))
  if not ok then return nil, old .. ": cannot rename" end
  forget(to)
  records[from], records[to] = nil, record
  named(record, new)
  note("+", to)
  note("-", from)
  return true
end

--- A name no file has.
---
--- `io.tmpname():match("^tmp_")  --> "tmp_"`
---@return string
function M.tmpname()
  repeat temporary = temporary + 1 until not M.exists("tmp_" .. temporary)
  return "tmp_" .. temporary
end

--- A file without name, deleted when it is closed.
---
--- `io.tmpfile():write("gone soon")  --> true`
---
--- Errors: those of `open`.
---@return table? file nil, "reason"
---@return string? reason
function M.tmpfile()
  local name = M.tmpname()
  local file, reason = M.open(name, "w+")
  if not file then return nil, reason end
  M.remove(name)
  return file
end

--- Whether a file of that name exists.
---
--- `io.open("a/b", "w"):close()`
--- `io.exists("a/b")  --> true`
---@param name string
---@return boolean
function M.exists(name)
  return settings ~= nil and records[md5(tostring(name))] ~= nil
end

--- The names of the files, sorted; those of earlier runs have names once they were opened.
---
--- ```lua
--- io.clean()
--- io.open("a/b", "w"):close()
--- io.list()  --> { "a/b" }
--- ```
---@return string[]
function M.list()
  local names = {}
  for _, record in pairs(records) do
    if record.name then names[#names + 1] = record.name end
  end
  sort(names)
  return names
end

--- Deletes all files.
---
--- `io.clean()`
--- `io.list()  --> {}`
function M.clean()
  if not settings then return end
  local hashes = {}
  for hash in pairs(records) do hashes[#hashes + 1] = hash end
  for _, hash in ipairs(hashes) do
    if real_remove(path_of(hash)) then forget(hash) end
  end
  write_index()
end

--- The limits.
---
--- `io.limits()  --> 100, 1048576, nil`
---@return integer? max_files
---@return integer? max_size
---@return integer? max_fds
function M.limits()
  if not settings then return nil end
  return settings.max_files, settings.max_size, settings.max_file_descriptors
end

--- What is used now.
---
--- ```lua
--- io.clean()
--- io.open("a", "w"):write("text")
--- io.stats()  --> such as 1, 4, 1
--- ```
---@return integer files
---@return integer size
---@return integer fds
function M.stats() return files, used, descriptors end

--- Limits and use as text.
---
--- `io.infos():match("^Files: ")  --> "Files: "`
---@return string
function M.infos()
  local limits = settings or {}
  local function of(value, limit) return value .. " / " .. tostring(limit or "unlimited") end
  return "Files: " .. of(files, limits.max_files) .. "\nSize: " .. of(used, limits.max_size)
    .. "\nFile descriptors: " .. of(descriptors, limits.max_file_descriptors)
end

return M
