--- Remote calls over UDP: no connection, retransmission, arguments and results under 8 kB
--- (manual, "splay.rpc, splay.urpc and splay.rpcq").

---@class splay.urpc.settings: splay.rpc.settings
---@field retry_number integer retransmissions, spread evenly over the timeout
---@field cleaning_after number seconds for which a server remembers an answered call

---@class splay.urpc
local M, core = require "splay.rpc_common"("urpc", {
  default_timeout = 40,
  retry_number = 2,
  cleaning_after = 120,
  cleaning_interval = 5,
  try_free = true,
})

--- Number of calls made.
---@return integer
--- Example: `urpc.stats()` --> 3
M.stats = core.calls

--- Describes the module's activity.
---@return string
--- Example: `urpc.infos()` --> "Number of URPCs: 3"
function M.infos()
  return "Number of URPCs: " .. core.calls()
end

--- Makes a key that no other call has.
---@return string
--- Example: `#urpc.get_key()` --> 40
M.get_key = core.get_key

return M
