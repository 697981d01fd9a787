--- Remote calls over UDP: no connection, retransmission, arguments and results under 8 kB
---.
---
--- Since: 0.1
--- Manual: 'splay.rpc, splay.urpc and splay.rpcq'

---@class splay.urpc.settings: splay.rpc.settings
---@field retry_number integer retransmissions, spread evenly over the timeout
---@field cleaning_after number seconds for which a server remembers an answered call

---@class splay.urpc
---@field l_o splay.log.Object the module's log object, with level 3
local M, core = require "splay.rpc_common"("urpc", {
  default_timeout = 40,
  retry_number = 2,
  cleaning_after = 120,
  cleaning_interval = 5,
  try_free = true,
})

--- Number of calls made.
---
--- `urpc.stats()  --> such as 3`
---@return integer
M.stats = core.calls

--- Describes the module's activity.
---
--- `urpc.infos()  --> such as "Number of URPCs: 3"`
---@return string
function M.infos()
  return "Number of URPCs: " .. core.calls()
end

--- Makes a key that no other call has.
---
--- `#urpc.get_key()  --> 40`
---@return string
M.get_key = core.get_key

return M
