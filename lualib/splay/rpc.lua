--- Remote calls over TCP, one connection per call: arguments and results of any size.
---
--- Since: 0.1
--- Manual: 'splay.rpc, splay.urpc and splay.rpcq'

---@class splay.rpc
---@field l_o splay.log.Object the module's log object, with level 3
local M, core = require "splay.rpc_common"("rpc", { default_timeout = 60 })

--- Number of calls made.
---
--- `rpc.stats()  --> such as 3`
---@return integer
M.stats = core.calls

--- Describes the module's activity.
---
--- `rpc.infos()  --> such as "Number of RPCs: 3"`
---@return string
function M.infos()
  return "Number of RPCs: " .. core.calls()
end

return M
