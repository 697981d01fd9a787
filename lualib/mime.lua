--- MIME's encodings as LTN12 filters: base64, quoted-printable, line ends, line lengths, the dots
--- of SMTP. The low-level filters (`mime.b64` and the others, native) take what the previous call
--- left over and a chunk, and return the output and what is left over for the next call; without
--- a chunk they finish. `mime.b64(s)` therefore encodes a whole string.
---
--- ```lua
--- mime.b64("hello")  --> "aGVsbG8="  nil
--- mime.b64("hello", "")  --> "aGVs"  "lo"
--- ltn12.source.chain(ltn12.source.file(f), mime.encode("base64"), mime.wrap("base64"))
--- ```
local core = require "splay.mime_core"
local cycle = require("ltn12").filter.cycle

---@class mime
local M = {
  _VERSION = "MIME 1.0.3",
  b64 = core.b64, unb64 = core.unb64, qp = core.qp, unqp = core.unqp,
  wrp = core.wrp, qpwrp = core.qpwrp, eol = core.eol, dot = core.dot,
  encodet = {}, decodet = {}, wrapt = {},
}

local encodet, decodet, wrapt = M.encodet, M.decodet, M.wrapt

-- Makes a function that calls the entry of a table its first argument names.
local function choose(entries)
  return function(name, a, b)
    if type(name) ~= "string" then name, a, b = "default", name, a end
    local make = entries[name]
    if not make then error("unknown key (" .. tostring(name) .. ")", 2) end
    return make(a, b)
  end
end

encodet["base64"] = function() return cycle(core.b64, "") end
encodet["quoted-printable"] = function(mode)
  return cycle(core.qp, "", mode == "binary" and "=0D=0A" or "\r\n")
end

decodet["base64"] = function() return cycle(core.unb64, "") end
decodet["quoted-printable"] = function() return cycle(core.unqp, "") end

wrapt["text"] = function(length)
  length = length or 76
  return cycle(core.wrp, length, length)
end
wrapt["base64"] = wrapt["text"]
wrapt["default"] = wrapt["text"]
wrapt["quoted-printable"] = function(length)
  length = length or 76
  return cycle(core.qpwrp, length, length)
end

--- Makes a filter that encodes: "base64" or "quoted-printable". `mode` is of quoted-printable:
--- "text" (line ends stay) or "binary" (they are encoded too).
---
--- `mime.encode("base64")("hello!")  --> "aGVsbG8h"`
---@type fun(name: "base64"|"quoted-printable", mode: "text"|"binary"|nil): ltn12.Filter
M.encode = choose(encodet)

--- Makes a filter that decodes: "base64" or "quoted-printable".
---
--- `mime.decode("base64")("aGVsbG8h")  --> "hello!"`
---@type fun(name: "base64"|"quoted-printable"): ltn12.Filter
M.decode = choose(decodet)

--- Makes a filter that breaks lines: "text", "base64" or "quoted-printable"; lines have at most
--- 76 characters if `length` does not say otherwise.
---
--- `mime.wrap("text", 3)("abcdef")  --> "abc\r\ndef"`
---@type fun(name: string?, length: integer?): ltn12.Filter
M.wrap = choose(wrapt)

--- Makes a filter that turns line ends of any system into `marker`, CRLF if absent.
---
--- `mime.normalize("\n")("a\r\nb\rc")  --> "a\nb\nc"`
---@param marker string?
---@return ltn12.Filter
function M.normalize(marker) return cycle(core.eol, 0, marker) end

--- Makes a filter that doubles the dots at the beginning of lines, for SMTP.
---
--- `mime.stuff()(".\r\n")  --> "..\r\n"`
---@return ltn12.Filter
function M.stuff() return cycle(core.dot, 2) end

return M
