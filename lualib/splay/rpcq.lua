--- Remote calls over TCP connections that are kept open: one per peer, many calls under way on
--- it.
---
--- Since: 0.1
--- Manual: 'splay.rpc, splay.urpc and splay.rpcq'

---@class splay.rpcq.settings: splay.rpc.settings
---@field window_size integer unanswered calls on one connection
---@field reconnect_interval number seconds between attempts to connect
---@field clean_timeout number seconds after which an idle connection is closed

---@class splay.rpcq
---@field l_o splay.log.Object the module's log object, with level 3
local M, core = require "splay.rpc_common"("rpcq", {
  default_timeout = 60,
  clean_timeout = 60,
  window_size = 128,
  reconnect_interval = 5,
})

--- Figures of the module's activity.
---
--- `rpcq.stats()  --> such as 3, 1, 1, 1, 0, 0`
---@return integer rpcs calls made
---@return integer known_peers
---@return integer connected
---@return integer connects
---@return integer cleaned connections closed because idle
---@return integer lru_cleaned connections closed to make room
M.stats = core.stats

--- Describes the module's activity in three lines.
---
--- `rpcq.infos():match("^Number of RPCQs")  --> "Number of RPCQs"`
---@return string
function M.infos()
  return ("Number of RPCQs: %d\nKnown peers: %d connected: %d\nConnects: %d cleaned: %d LRU: %d")
    :format(core.stats())
end

return M
