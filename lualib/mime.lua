--- MIME's encodings as LTN12 filters: base64, quoted-printable, line ends, line lengths, the dots
--- of SMTP. The low-level filters (`mime.b64` and the others, native) take what the previous call
--- left over and a chunk, and return the output and what is left over for the next call; without
--- a chunk they finish. `mime.b64(s)` therefore encodes a whole string.
---
--- `mime.b64("hello")      --> "aGVsbG8="`
--- `mime.b64("hello", "")  --> "aGVs", "lo"`
---
--- Since: 0.1
local core = require "splay.mime_core"
local cycle = require("ltn12").filter.cycle

---@class mime
local M = {
  _VERSION = "MIME 1.0.3",
  --- What `encode` chooses from: makers of filters by name.
  ---
  --- `mime.encodet.base64()("hello!")  --> "aGVsbG8h"`
  ---@type table<string, fun(mode: string?): ltn12.Filter>
  encodet = {},
  --- What `decode` chooses from: makers of filters by name.
  ---
  --- `mime.decodet.base64()("aGVsbG8h")  --> "hello!"`
  ---@type table<string, fun(): ltn12.Filter>
  decodet = {},
  --- What `wrap` chooses from: makers of filters by name.
  ---
  --- `mime.wrapt.text(3)("abcdef")  --> "abc\r\ndef"`
  ---@type table<string, fun(length: integer?): ltn12.Filter>
  wrapt = {},
}

--- Encodes as base64.
---
--- `mime.b64("hello")  --> "aGVsbG8="`
---@param left string? left over from the call before
---@param chunk string? nil: finish
---@return string? text
---@return string? left over
M.b64 = core.b64

--- Decodes base64.
---
--- `mime.unb64("aGVsbG8=")  --> "hello"`
---@param left string? left over from the call before
---@param chunk string? nil: finish
---@return string? bytes
---@return string? left over
M.unb64 = core.unb64

--- Encodes as quoted-printable.
---
--- `mime.qp("\233")  --> "=E9"`
---@param left string? left over from the call before
---@param chunk string? nil: finish
---@param marker string? what a line end becomes, CRLF if absent
---@return string? text
---@return string? left over
M.qp = core.qp

--- Decodes quoted-printable.
---
--- `mime.unqp("=E9")  --> "\233"`
---@param left string? left over from the call before
---@param chunk string? nil: finish
---@return string? bytes
---@return string? left over
M.unqp = core.unqp

--- Breaks lines.
---
--- `mime.wrp(3, "abcdef", 3)  --> "abc\r\ndef", 0`
---@param left integer characters that the current line still takes
---@param chunk string? nil: finish
---@param length integer? characters of a line, 76 if absent
---@return string? text
---@return integer left
M.wrp = core.wrp

--- Breaks lines of quoted-printable text, and no code in it.
---
--- `mime.qpwrp(5, "a=E9", 5)  --> "a=E9", 1`
---@param left integer characters that the current line still takes
---@param chunk string? nil: finish
---@param length integer? characters of a line, 76 if absent
---@return string? text
---@return integer left
M.qpwrp = core.qpwrp

--- Turns line ends of any system into a marker.
---
--- `mime.eol(0, "a\rb", "\n")  --> "a\nb", 0`
---@param last integer the last character of the call before that may belong to a line end, or 0
---@param chunk string? nil: finish
---@param marker string? CRLF if absent
---@return string? text
---@return integer last
M.eol = core.eol

--- Doubles the dots at the beginning of lines.
---
--- `mime.dot(2, ".\r\n")  --> "..\r\n", 2`
---@param state integer 2 at the beginning
---@param chunk string? nil: finish
---@return string? text
---@return integer state
M.dot = core.dot

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
---
--- Errors: raises "unknown key (NAME)".
---@param name "base64"|"quoted-printable"
---@param mode "text"|"binary"|nil
---@return ltn12.Filter
M.encode = choose(encodet)

--- Makes a filter that decodes: "base64" or "quoted-printable".
---
--- `mime.decode("base64")("aGVsbG8h")  --> "hello!"`
---
--- Errors: raises "unknown key (NAME)".
---@param name "base64"|"quoted-printable"
---@return ltn12.Filter
M.decode = choose(decodet)

--- Makes a filter that breaks lines: "text", "base64" or "quoted-printable"; lines have at most
--- 76 characters if `length` does not say otherwise.
---
--- `mime.wrap("text", 3)("abcdef")  --> "abc\r\ndef"`
---
--- Errors: raises "unknown key (NAME)".
---@param name string?
---@param length integer?
---@return ltn12.Filter
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
