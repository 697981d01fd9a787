--- Remote calls over TCP connections that are kept open: one per peer, many calls under way on
--- it (manual, "splay.rpc, splay.urpc and splay.rpcq").

---@class splay.rpcq.settings: splay.rpc.settings
---@field window_size integer unanswered calls on one connection
---@field reconnect_interval number seconds between attempts to connect
---@field clean_timeout number seconds after which an idle connection is closed

---@class splay.rpcq
local M, core = require "splay.rpc_common"("rpcq", {
  default_timeout = 60,
  clean_timeout = 60,
  window_size = 128,
  reconnect_interval = 5,
})

--- Figures of the module's activity.
---@return integer rpcs calls made
---@return integer known_peers
---@return integer connected
---@return integer connects
---@return integer cleaned connections closed because idle
---@return integer lru_cleaned connections closed to make room
--- Example: `rpcq.stats()` --> 3, 1, 1, 1, 0, 0
M.stats = core.stats

--- Describes the module's activity in three lines.
---@return string
--- Example: `print(rpcq.infos())`
function M.infos()
  return ("Number of RPCQs: %d\nKnown peers: %d connected: %d\nConnects: %d cleaned: %d LRU: %d")
    :format(core.stats())
end

return M
