--- Base64 texts.

local core = require "splay.base64_core"

local M = {}

--- Encodes bytes.
---@param bytes string
---@return string text
--- Example: `base64.encode("hello")` --> "aGVsbG8="
M.encode = core.encode

--- Decodes a text; blanks, line ends and missing padding do not matter.
---@param text string
---@return string? bytes no value if it is not base64
--- Example: `base64.decode("aGVsbG8=")` --> "hello"
M.decode = core.decode

return M
