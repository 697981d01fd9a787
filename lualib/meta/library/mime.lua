---@meta mime
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class mime
local M = {}

--- What `encode` chooses from: makers of filters by name.
---
--- `mime.encodet.base64()("hello!")  --> "aGVsbG8h"`
---@type table<string, fun(mode: string?): ltn12.Filter>
M.encodet = nil

--- What `decode` chooses from: makers of filters by name.
---
--- `mime.decodet.base64()("aGVsbG8h")  --> "hello!"`
---@type table<string, fun(): ltn12.Filter>
M.decodet = nil

--- What `wrap` chooses from: makers of filters by name.
---
--- `mime.wrapt.text(3)("abcdef")  --> "abc\r\ndef"`
---@type table<string, fun(length: integer?): ltn12.Filter>
M.wrapt = nil

--- Encodes as base64.
---
--- `mime.b64("hello")  --> "aGVsbG8="`
---@param left string? left over from the call before
---@param chunk string? nil: finish
---@return string? text
---@return string? left over
function M.b64(left, chunk) end

--- Decodes base64.
---
--- `mime.unb64("aGVsbG8=")  --> "hello"`
---@param left string? left over from the call before
---@param chunk string? nil: finish
---@return string? bytes
---@return string? left over
function M.unb64(left, chunk) end

--- Encodes as quoted-printable.
---
--- `mime.qp("\233")  --> "=E9"`
---@param left string? left over from the call before
---@param chunk string? nil: finish
---@param marker string? what a line end becomes, CRLF if absent
---@return string? text
---@return string? left over
function M.qp(left, chunk, marker) end

--- Decodes quoted-printable.
---
--- `mime.unqp("=E9")  --> "\233"`
---@param left string? left over from the call before
---@param chunk string? nil: finish
---@return string? bytes
---@return string? left over
function M.unqp(left, chunk) end

--- Breaks lines.
---
--- `mime.wrp(3, "abcdef", 3)  --> "abc\r\ndef", 0`
---@param left integer characters that the current line still takes
---@param chunk string? nil: finish
---@param length integer? characters of a line, 76 if absent
---@return string? text
---@return integer left
function M.wrp(left, chunk, length) end

--- Breaks lines of quoted-printable text, and no code in it.
---
--- `mime.qpwrp(5, "a=E9", 5)  --> "a=E9", 1`
---@param left integer characters that the current line still takes
---@param chunk string? nil: finish
---@param length integer? characters of a line, 76 if absent
---@return string? text
---@return integer left
function M.qpwrp(left, chunk, length) end

--- Turns line ends of any system into a marker.
---
--- `mime.eol(0, "a\rb", "\n")  --> "a\nb", 0`
---@param last integer the last character of the call before that may belong to a line end, or 0
---@param chunk string? nil: finish
---@param marker string? CRLF if absent
---@return string? text
---@return integer last
function M.eol(last, chunk, marker) end

--- Doubles the dots at the beginning of lines.
---
--- `mime.dot(2, ".\r\n")  --> "..\r\n", 2`
---@param state integer 2 at the beginning
---@param chunk string? nil: finish
---@return string? text
---@return integer state
function M.dot(state, chunk) end

--- Makes a filter that encodes: "base64" or "quoted-printable". `mode` is of quoted-printable:
--- "text" (line ends stay) or "binary" (they are encoded too).
---
--- `mime.encode("base64")("hello!")  --> "aGVsbG8h"`
---
--- Errors: raises "unknown key (NAME)".
---@param name "base64"|"quoted-printable"
---@param mode "text"|"binary"|nil
---@return ltn12.Filter
function M.encode(name, mode) end

--- Makes a filter that decodes: "base64" or "quoted-printable".
---
--- `mime.decode("base64")("aGVsbG8h")  --> "hello!"`
---
--- Errors: raises "unknown key (NAME)".
---@param name "base64"|"quoted-printable"
---@return ltn12.Filter
function M.decode(name) end

--- Makes a filter that breaks lines: "text", "base64" or "quoted-printable"; lines have at most
--- 76 characters if `length` does not say otherwise.
---
--- `mime.wrap("text", 3)("abcdef")  --> "abc\r\ndef"`
---
--- Errors: raises "unknown key (NAME)".
---@param name string?
---@param length integer?
---@return ltn12.Filter
function M.wrap(name, length) end

--- Makes a filter that turns line ends of any system into `marker`, CRLF if absent.
---
--- `mime.normalize("\n")("a\r\nb\rc")  --> "a\nb\nc"`
---@param marker string?
---@return ltn12.Filter
function M.normalize(marker) end

--- Makes a filter that doubles the dots at the beginning of lines, for SMTP.
---
--- `mime.stuff()(".\r\n")  --> "..\r\n"`
---@return ltn12.Filter
function M.stuff() end

return M
