---@meta base64
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class base64
local M = {}

--- Encodes bytes.
---
--- `base64.encode("hello")  --> "aGVsbG8="`
---@param bytes string
---@return string text
function M.encode(bytes) end

--- Decodes a text; blanks, line ends and missing padding do not matter.
---
--- `base64.decode("aGVsbG8=")  --> "hello"`
---
--- Errors: no value if the text is not base64.
---@param text string
---@return string? bytes no value if it is not base64
function M.decode(text) end

return M
