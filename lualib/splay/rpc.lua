--- Remote calls over TCP, one connection per call: arguments and results of any size (manual,
--- "splay.rpc, splay.urpc and splay.rpcq").

---@class splay.rpc
local M, core = require "splay.rpc_common"("rpc", { default_timeout = 60 })

--- Number of calls made.
---@return integer
--- Example: `rpc.stats()` --> 3
M.stats = core.calls

--- Describes the module's activity.
---@return string
--- Example: `rpc.infos()` --> "Number of RPCs: 3"
function M.infos()
  return "Number of RPCs: " .. core.calls()
end

return M
