---@meta ltn12
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@alias ltn12.Source fun(): string?, any
---@alias ltn12.Sink fun(chunk: string?, reason: any): any, any
---@alias ltn12.Filter fun(chunk: string?): string?

---@class ltn12
local M = {}

--- Bytes of the chunks that sources of files and strings give.
M.BLOCKSIZE = 2048

--- What makes filters.
---@type table<string, function>
M.filter = nil

--- What makes sources.
---@type table<string, function>
M.source = nil

--- What makes sinks.
---@type table<string, function>
M.sink = nil

--- What moves chunks.
---@type table<string, function>
M.pump = nil

--- Makes a filter from a function `low(context, chunk, extra) -> output, context`, such as the
--- low-level functions of `mime`.
---
--- `ltn12.filter.cycle(mime.b64, "")("hello!")  --> "aGVsbG8h"`
---@param low fun(context: any, chunk: string?, extra: any): string?, any
---@param context any
---@param extra any
---@return ltn12.Filter
function M.filter.cycle(low, context, extra) end

--- Makes one filter of several: each gets what the one before gives.
---
--- `ltn12.filter.chain(mime.normalize("\n"), mime.encode("base64"))("a\r\nb")  --> "YQpi"`
---@param ... ltn12.Filter
---@return ltn12.Filter
function M.filter.chain(...) end

--- Makes a source that is at its end.
---
--- `ltn12.source.empty()()  --> nil`
---@return ltn12.Source
function M.source.empty() end

--- Makes a source that fails.
---
--- `ltn12.source.error("no")()  --> nil, "no"`
---@param reason any
---@return ltn12.Source
function M.source.error(reason) end

--- Makes a source of what a file contains; the file is closed at the end. It takes the results
--- of `io.open` as they are.
---
--- `local source = ltn12.source.file(io.open("missing.png", "rb"))`
--- `source()  --> nil, "missing.png: No such file or directory"`
---
--- Errors: a source that fails where there is no file.
---@param handle file*?
---@param reason string?
---@return ltn12.Source
function M.source.file(handle, reason) end

--- Makes a plain source of one that may replace itself: one that returns a chunk and the source
--- to be called next.
---
--- `local src = ltn12.source.simplify(function() return "once", ltn12.source.empty() end)`
--- `src(), src()  --> "once", nil`
---@param src fun(): string?, any
---@return ltn12.Source
function M.source.simplify(src) end

--- Makes a source of a string; of nil, an empty one.
---
--- `ltn12.source.string("hello")()  --> "hello"`
---@param text string?
---@return ltn12.Source
function M.source.string(text) end

--- Makes a source of the strings of a list.
---
--- `ltn12.source.table({"a", "b"})()  --> "a"`
---
--- Errors: raises unless `list` is a table.
---@param list string[]
---@return ltn12.Source
function M.source.table(list) end

--- Makes a source that takes chunks back: called with a chunk, it returns that one later, the
--- last first.
---
--- ```lua
--- local src = ltn12.source.rewind(ltn12.source.string("new"))
--- src("again")
--- src(), src()  --> "again", "new"
--- ```
---@param src ltn12.Source
---@return fun(chunk: string?): string?, any
function M.source.rewind(src) end

--- Makes a source of what a source gives, sent through filters.
---
--- `local src = ltn12.source.chain(ltn12.source.string("hello!"), mime.encode("base64"))`
--- `src()  --> "aGVsbG8h"`
---@param src ltn12.Source
---@param f ltn12.Filter
---@param ... ltn12.Filter
---@return ltn12.Source
function M.source.chain(src, f, ...) end

--- Makes a source that gives what several sources give, one after the other.
---
--- `local src = ltn12.source.cat(ltn12.source.string("a"), ltn12.source.string("b"))`
--- `src(), src(), src()  --> "a", "b", nil`
---@param ... ltn12.Source
---@return ltn12.Source
function M.source.cat(...) end

--- Makes a sink that takes everything and keeps nothing.
---
--- `ltn12.sink.null()("hello")  --> 1`
---@return ltn12.Sink
function M.sink.null() end

--- Makes a sink that takes nothing.
---
--- `ltn12.sink.error("full")("hello")  --> nil, "full"`
---@param reason any
---@return ltn12.Sink
function M.sink.error(reason) end

--- Makes a sink that puts each chunk into a table.
---
--- ```lua
--- local sink, parts = ltn12.sink.table()
--- sink("a")
--- parts  --> { "a" }
--- ```
---@param list string[]? a new one if absent
---@return ltn12.Sink
---@return string[] list
function M.sink.table(list) end

--- Makes a sink that writes to a file and closes it at the end. It takes the results of
--- `io.open` as they are.
---
--- `ltn12.sink.file(io.open("copy.txt", "wb"))("hello") ~= nil  --> true`
---
--- Errors: a sink that fails where there is no file.
---@param handle file*?
---@param reason string?
---@return ltn12.Sink
function M.sink.file(handle, reason) end

--- Makes a plain sink of one that may replace itself: one that returns 1 and the sink to be
--- called next.
---
--- `ltn12.sink.simplify(function(chunk) return 1, ltn12.sink.null() end)("a")  --> 1`
---@param snk fun(chunk: string?, reason: any): any, any
---@return ltn12.Sink
function M.sink.simplify(snk) end

--- Makes a sink that gets what it is given sent through filters: `sink.chain(f, g, ..., sink)`.
---
--- ```lua
--- local sink, parts = ltn12.sink.table()
--- ltn12.sink.chain(mime.decode("base64"), sink)("aGVsbG8h")
--- parts  --> { "hello!" }
--- ```
---@param ... function filters, then the sink
---@return ltn12.Sink
function M.sink.chain(...) end

--- Moves one chunk from a source to a sink.
---
--- `ltn12.pump.step(ltn12.source.string("hello"), ltn12.sink.null())  --> 1`
---
--- Errors: `nil, reason` where one of them fails; nil at the end.
---@param src ltn12.Source
---@param snk ltn12.Sink
---@return integer? one nil at the end; nil, reason where one of them fails
---@return any reason
function M.pump.step(src, snk) end

--- Moves everything from a source to a sink.
---
--- ```lua
--- local sink, parts = ltn12.sink.table()
--- ltn12.pump.all(ltn12.source.string("hello"), sink)  --> 1
--- parts                                               --> { "hello" }
--- ```
---
--- Errors: `nil, reason` where one of them fails.
---@param src ltn12.Source
---@param snk ltn12.Sink
---@param step (fun(src: ltn12.Source, snk: ltn12.Sink): any, any)? `pump.step` if absent
---@return integer? one
---@return any reason
function M.pump.all(src, snk, step) end

return M
