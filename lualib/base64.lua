--- Base64 texts.
---
--- Since: 0.1

local core = require "splay.base64_core"

local M = {}

--- Encodes bytes.
---
--- `base64.encode("hello")  --> "aGVsbG8="`
---@param bytes string
---@return string text
M.encode = core.encode

--- Decodes a text; blanks, line ends and missing padding do not matter.
---
--- `base64.decode("aGVsbG8=")  --> "hello"`
---
--- Errors: no value if the text is not base64.
---@param text string
---@return string? bytes no value if it is not base64
M.decode = core.decode

return M
