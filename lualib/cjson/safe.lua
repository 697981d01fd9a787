--- `cjson` whose `encode` and `decode` return nil and a message instead of raising an error.
---
--- ```lua
--- require("cjson.safe").decode("[")
---   --> nil, "Expected value but found T_END at character 2"
--- ```
---
--- Since: 0.1

---@type cjson
local M = require("splay.cjson_core").new(true)

return M
