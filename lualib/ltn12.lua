--- LTN12: sources, sinks, filters and pumps, the streams that `socket.http`, `socket.smtp`,
--- `socket.ftp` and `mime` are fed with. Any of them may wait.
---
--- A source returns a chunk at each call, nil at the end, `nil, "reason"` when it fails. A sink is
--- called with each chunk, and with nil (and the reason of a failure) at the end; it returns 1,
--- or `nil, "reason"` when it takes no more. A filter turns chunks into chunks: `""` where it needs
--- more, and nil, once it was given nil and has given all. Given `""` it gives what it still holds.
---
--- ```lua
--- local sink, parts = ltn12.sink.table()
--- ltn12.pump.all(ltn12.source.string("hello"), sink)  --> 1
--- table.concat(parts)  --> "hello"
--- ```
---
--- Since: 0.1
local assert, error, type, select, unpack = assert, error, type, select, unpack

---@alias ltn12.Source fun(): string?, any
---@alias ltn12.Sink fun(chunk: string?, reason: any): any, any
---@alias ltn12.Filter fun(chunk: string?): string?

---@class ltn12
local M = {
  _VERSION = "LTN12 1.0.3",
  --- Bytes of the chunks that sources of files and strings give.
  BLOCKSIZE = 2048,
}

local filter, source, sink, pump = {}, {}, {}, {}

--- What makes filters.
---@type table<string, function>
M.filter = filter

--- What makes sources.
---@type table<string, function>
M.source = source

--- What makes sinks.
---@type table<string, function>
M.sink = sink

--- What moves chunks.
---@type table<string, function>
M.pump = pump

--- Makes a filter from a function `low(context, chunk, extra) -> output, context`, such as the
--- low-level functions of `mime`.
---
--- `ltn12.filter.cycle(mime.b64, "")("hello!")  --> "aGVsbG8h"`
---@param low fun(context: any, chunk: string?, extra: any): string?, any
---@param context any
---@param extra any
---@return ltn12.Filter
function filter.cycle(low, context, extra)
  assert(low, "no function to make a filter of")
  return function(chunk)
    local output
    output, context = low(context, chunk, extra)
    return output
  end
end

--- Makes one filter of several: each gets what the one before gives.
---
--- `ltn12.filter.chain(mime.normalize("\n"), mime.encode("base64"))("a\r\nb")  --> "YQpi"`
---@param ... ltn12.Filter
---@return ltn12.Filter
function filter.chain(...)
  local filters, count = { ... }, select("#", ...)
  local first = 1 -- the filters before it have given all

  -- Sends a chunk from filter `i` on; "" if one of them needs more.
  local function pass(i, chunk)
    while i <= count and chunk ~= "" do
      chunk = filters[i](chunk)
      if chunk == nil then error("filter returned inappropriate nil", 3) end
      i = i + 1
    end
    return chunk
  end

  -- What filters hold back, the last one first, so that nothing overtakes.
  local function held(from)
    for i = count, from, -1 do
      local chunk = filters[i]("")
      if chunk and chunk ~= "" then
        chunk = pass(i + 1, chunk)
        if chunk ~= "" then return chunk end
      end
    end
    return ""
  end

  return function(chunk)
    if chunk == "" then return held(first) end
    if chunk then return pass(first, chunk) end
    while first <= count do
      local waiting = held(first + 1)
      if waiting ~= "" then return waiting end
      local last = filters[first](nil)
      if last == nil or last == "" then
        first = first + 1
      else
        last = pass(first + 1, last)
        if last ~= "" then return last end
      end
    end
    return nil
  end
end

local function nothing() return nil end

--- Makes a source that is at its end.
---
--- `ltn12.source.empty()()  --> nil`
---@return ltn12.Source
function source.empty() return nothing end

--- Makes a source that fails.
---
--- `ltn12.source.error("no")()  --> nil, "no"`
---@param reason any
---@return ltn12.Source
function source.error(reason)
  return function() return nil, reason end
end

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
function source.file(handle, reason)
  if not handle then return source.error(reason or "unable to open file") end
  return function()
    if not handle then return nil end
    local chunk = handle:read(M.BLOCKSIZE)
    if chunk then return chunk end
    handle:close()
    handle = nil
    return nil
  end
end

--- Makes a plain source of one that may replace itself: one that returns a chunk and the source
--- to be called next.
---
--- `local src = ltn12.source.simplify(function() return "once", ltn12.source.empty() end)`
--- `src(), src()  --> "once", nil`
---@param src fun(): string?, any
---@return ltn12.Source
function source.simplify(src)
  assert(src, "no source")
  return function()
    local chunk, following = src()
    if chunk == nil then return nil, following end
    src = following or src
    return chunk
  end
end

--- Makes a source of a string; of nil, an empty one.
---
--- `ltn12.source.string("hello")()  --> "hello"`
---@param text string?
---@return ltn12.Source
function source.string(text)
  if not text then return source.empty() end
  local at = 1
  return function()
    local chunk = text:sub(at, at + M.BLOCKSIZE - 1)
    at = at + #chunk
    if chunk ~= "" then return chunk end
    return nil
  end
end

--- Makes a source of the strings of a list.
---
--- `ltn12.source.table({"a", "b"})()  --> "a"`
---
--- Errors: raises unless `list` is a table.
---@param list string[]
---@return ltn12.Source
function source.table(list)
  if type(list) ~= "table" then error("table expected, got " .. type(list), 2) end
  local at = 0
  return function()
    at = at + 1
    return list[at]
  end
end

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
function source.rewind(src)
  assert(src, "no source")
  local back = {}
  return function(chunk)
    if chunk then
      back[#back + 1] = chunk
      return nil
    end
    local last = #back
    if last == 0 then return src() end
    chunk, back[last] = back[last], nil
    return chunk
  end
end

--- Makes a source of what a source gives, sent through filters.
---
--- `local src = ltn12.source.chain(ltn12.source.string("hello!"), mime.encode("base64"))`
--- `src()  --> "aGVsbG8h"`
---@param src ltn12.Source
---@param f ltn12.Filter
---@param ... ltn12.Filter
---@return ltn12.Source
function source.chain(src, f, ...)
  assert(src and f, "a source and a filter are needed")
  if ... then f = filter.chain(f, ...) end
  local holds, ended = false, false -- the filter may hold output; the source has ended
  return function()
    while true do
      local chunk
      if ended then
        chunk = f(nil)
        if chunk == "" then return nil end -- a filter that does not know of the end
        return chunk
      elseif holds then
        chunk = f("")
        holds = chunk ~= nil and chunk ~= ""
      else
        local input, reason = src()
        if input == nil and reason then return nil, reason end
        ended = input == nil
        if not ended then
          chunk = f(input)
          if chunk == nil then error("filter returned inappropriate nil", 2) end
          holds = chunk ~= ""
        end
      end
      if not ended and holds then return chunk end
    end
  end
end

--- Makes a source that gives what several sources give, one after the other.
---
--- `local src = ltn12.source.cat(ltn12.source.string("a"), ltn12.source.string("b"))`
--- `src(), src(), src()  --> "a", "b", nil`
---@param ... ltn12.Source
---@return ltn12.Source
function source.cat(...)
  local sources, count, at = { ... }, select("#", ...), 1
  return function()
    while at <= count do
      local chunk, reason = sources[at]()
      if chunk or reason then return chunk, reason end
      at = at + 1
    end
    return nil
  end
end

local function swallow() return 1 end

--- Makes a sink that takes everything and keeps nothing.
---
--- `ltn12.sink.null()("hello")  --> 1`
---@return ltn12.Sink
function sink.null() return swallow end

--- Makes a sink that takes nothing.
---
--- `ltn12.sink.error("full")("hello")  --> nil, "full"`
---@param reason any
---@return ltn12.Sink
function sink.error(reason)
  return function() return nil, reason end
end

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
function sink.table(list)
  list = list or {}
  return function(chunk)
    if chunk then list[#list + 1] = chunk end
    return 1
  end, list
end

--- Makes a sink that writes to a file and closes it at the end. It takes the results of
--- `io.open` as they are.
---
--- `ltn12.sink.file(io.open("copy.txt", "wb"))("hello") ~= nil  --> true`
---
--- Errors: a sink that fails where there is no file.
---@param handle file*?
---@param reason string?
---@return ltn12.Sink
function sink.file(handle, reason)
  if not handle then return sink.error(reason or "unable to open file") end
  return function(chunk)
    if chunk then return handle:write(chunk) end
    handle:close()
    return 1
  end
end

--- Makes a plain sink of one that may replace itself: one that returns 1 and the sink to be
--- called next.
---
--- `ltn12.sink.simplify(function(chunk) return 1, ltn12.sink.null() end)("a")  --> 1`
---@param snk fun(chunk: string?, reason: any): any, any
---@return ltn12.Sink
function sink.simplify(snk)
  assert(snk, "no sink")
  return function(chunk, reason)
    local ok, following = snk(chunk, reason)
    if not ok then return nil, following end
    snk = following or snk
    return 1
  end
end

--- Makes a sink that gets what it is given sent through filters: `sink.chain(f, g, ..., sink)`.
---
--- ```lua
--- local sink, parts = ltn12.sink.table()
--- ltn12.sink.chain(mime.decode("base64"), sink)("aGVsbG8h")
--- parts  --> { "hello!" }
--- ```
---@param ... function filters, then the sink
---@return ltn12.Sink
function sink.chain(...)
  local parts, count = { ... }, select("#", ...)
  local snk = parts[count]
  assert(snk and count > 1, "a filter and a sink are needed")
  local f = count == 2 and parts[1] or filter.chain(unpack(parts, 1, count - 1))
  return function(chunk, reason)
    if chunk == "" then return 1 end
    local again = chunk and "" -- asks the filter for what it holds
    local output = f(chunk)
    while output and output ~= "" do
      local ok, why = snk(output, reason)
      if not ok then return nil, why end
      output = f(again)
    end
    if chunk then return 1 end
    local ok, why = snk(nil, reason)
    if not ok then return nil, why end
    return 1
  end
end

--- Moves one chunk from a source to a sink.
---
--- `ltn12.pump.step(ltn12.source.string("hello"), ltn12.sink.null())  --> 1`
---
--- Errors: `nil, reason` where one of them fails; nil at the end.
---@param src ltn12.Source
---@param snk ltn12.Sink
---@return integer? one nil at the end; nil, reason where one of them fails
---@return any reason
function pump.step(src, snk)
  local chunk, source_reason = src()
  local ok, sink_reason = snk(chunk, source_reason)
  if chunk and ok then return 1 end
  return nil, source_reason or sink_reason
end

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
function pump.all(src, snk, step)
  assert(src and snk, "a source and a sink are needed")
  step = step or pump.step
  while true do
    local ok, reason = step(src, snk)
    if not ok then
      if reason then return nil, reason end
      return 1
    end
  end
end

return M
