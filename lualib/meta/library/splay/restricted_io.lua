---@meta splay.restricted_io
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

--- An open file.
---
--- ```lua
--- local file = io.open("notes", "w+")
--- ```
---@class splay.restricted_io.File
local File = {}

---@class splay.restricted_io
local M = {}

--- Makes the restricted file system. Can be called once.
---
--- `io.init({ directory = "." })  --> false, "init() already called"`
---
--- Errors: `false, "init() already called"`; `nil, "reason"` if the folder cannot be used.
--- Manual: 'splay.restricted_io'
---@param new_settings splay.restricted_io.Settings
---@return boolean? ok false or nil, "reason" if it cannot be made
---@return string? reason
function M.init(new_settings) end

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
function M.open(name, mode) end

--- Writes strings and numbers.
---
--- `file:write("one", 2, "\n")  --> true`
---
--- Errors: `nil, "No disk space"` if it does not fit: nothing is written then.
---@param ... string|number
---@return boolean? ok nil, "No disk space" if they do not fit: then nothing is written
---@return string? reason
function File:write(...) end

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
function File:read(...) end

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
function File:lines(...) end

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
function File:seek(whence, offset) end

--- As in Lua's file:flush.
---
--- `file:flush()  --> true`
---
--- Errors: `nil, "reason"`. Raises for a closed file.
---@return true? ok nil, "reason"
---@return string? reason
function File:flush() end

--- As in Lua's file:setvbuf.
---
--- `file:setvbuf("full", 1024)  --> true`
---
--- Errors: raises for a closed file.
---@param ... any mode and size in bytes, as of Lua
---@return boolean? ok
function File:setvbuf(...) end

--- The file's size in bytes.
---
--- `file:write("text")`
--- `file:size()  --> 4`
---
--- Errors: raises for a closed file.
---@return integer
function File:size() end

--- As in Lua's file:close.
---
--- `file:close()  --> true`
---
--- Errors: `nil, "reason"`. Raises for a closed file.
---@return true? ok nil, "reason"
---@return string? reason
function File:close() end

--- Sets (by name or file) and returns the default input.
---
--- `io.open("in", "w"):close()`
--- `io.input("in")  --> io.input()`
---
--- Errors: raises if the file cannot be opened.
---@param file (string|table)? name, or file
---@return table? file
function M.input(file) end

--- Sets (by name or file) and returns the default output.
---
--- `io.output("out")  --> io.output()`
---
--- Errors: raises if the file cannot be opened.
---@param file (string|table)? name, or file
---@return table? file
function M.output(file) end

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
function M.read(...) end

--- Writes to the default output.
---
--- `io.output("out")`
--- `io.write("text")  --> true`
---
--- Errors: `nil, "no default file"`, and those of `File:write`.
---@param ... string|number
---@return boolean? ok
---@return string? reason
function M.write(...) end

--- Flushes the default output.
---
--- `io.output("out")`
--- `io.flush()  --> true`
---
--- Errors: `nil, "no default file"`.
---@return boolean? ok
---@return string? reason
function M.flush() end

--- Closes a file, or the default output.
---
--- `io.output("out")`
--- `io.close()  --> true`
---
--- Errors: `nil, "no default file"`.
---@param file table?
---@return boolean? ok
---@return string? reason
function M.close(file) end

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
function M.lines(name, ...) end

--- `"file"`, `"closed file"`, or nil for anything else.
---
--- `io.type(io.open("a", "w"))  --> "file"`
--- `io.type(5)                  --> nil`
---@param value any
---@return "file"|"closed file"|nil
function M.type(value) end

--- Deletes a file.
---
--- `io.remove("missing")  --> nil, "missing: No such file or directory", 2`
---
--- Errors: `nil, "NAME: No such file or directory"` and others.
---@param name string
---@return true? ok
---@return string? reason
function M.remove(name) end

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
function M.rename(old, new) end

--- A name no file has.
---
--- `io.tmpname():match("^tmp_")  --> "tmp_"`
---@return string
function M.tmpname() end

--- A file without name, deleted when it is closed.
---
--- `io.tmpfile():write("gone soon")  --> true`
---
--- Errors: those of `open`.
---@return table? file nil, "reason"
---@return string? reason
function M.tmpfile() end

--- Whether a file of that name exists.
---
--- `io.open("a/b", "w"):close()`
--- `io.exists("a/b")  --> true`
---@param name string
---@return boolean
function M.exists(name) end

--- The names of the files, sorted; those of earlier runs have names once they were opened.
---
--- ```lua
--- io.clean()
--- io.open("a/b", "w"):close()
--- io.list()  --> { "a/b" }
--- ```
---@return string[]
function M.list() end

--- Deletes all files.
---
--- `io.clean()`
--- `io.list()  --> {}`
function M.clean() end

--- The limits.
---
--- `io.limits()  --> 100, 1048576, nil`
---@return integer? max_files
---@return integer? max_size
---@return integer? max_fds
function M.limits() end

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
function M.stats() end

--- Limits and use as text.
---
--- `io.infos():match("^Files: ")  --> "Files: "`
---@return string
function M.infos() end

return M
