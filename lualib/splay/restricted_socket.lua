--- Limits on an instance's sockets: bytes, number, ports, forbidden hosts. The limits are kept
--- natively, in every socket of the instance; this module sets and shows them.
---
--- ```lua
--- local restricted = require "splay.restricted_socket"
--- restricted.init({ max_send = 1024, max_sockets = 10, start_port = 20000, end_port = 20009 })
--- restricted.wrap(socket)
--- socket.limits()  --> 1024, nil, 10, 20000, 20009, nil
--- ```
---
--- Since: 0.1
--- Manual: 'splay.restricted_socket'
local core = require "splay.socket_core"

local M = {}

---@class splay.restricted_socket.Settings
---@field max_send integer? bytes sent over the life of the instance
---@field max_receive integer? bytes received over the life of the instance
---@field max_sockets integer? open TCP sockets, and as many UDP sockets
---@field start_port integer? first port that may be bound
---@field end_port integer? last port that may be bound
---@field blacklist string[]? hosts that may not be contacted; `*` is a wildcard
---@field local_ip string? replaces the address given to bind
---@field udp_options boolean? whether UDP options may be set
---@field udp_drop_ratio number? fraction of datagrams dropped when sent, 0 to 1

--- Sets the limits, once and for all. What they forbid fails with `nil, "restricted"`.
---
--- `restricted_socket.init({ max_sockets = 10 })  --> false, "init() already called"`
---
--- Errors: `false, "init() already called"` or `false, "no settings"`.
---@param settings splay.restricted_socket.Settings
---@return boolean ok
---@return string? reason
function M.init(settings)
  if type(settings) ~= "table" then return false, "no settings" end
  return core.restrict(settings)
end

--- The limits.
---
--- `socket.limits()  --> 1024, nil, 10, 20000, 20009, nil`
---
--- Manual: 'splay.restricted_socket'
---@return integer? max_send
---@return integer? max_receive
---@return integer? max_sockets
---@return integer? start_port
---@return integer? end_port
---@return string? local_ip
function M.limits() return core.limits() end

--- What has been used so far.
---
--- `socket.stats()  --> such as 0, 0, 0, 0`
---
--- Manual: 'splay.restricted_socket'
---@return integer total_sent
---@return integer total_received
---@return integer total_tcp_sockets
---@return integer total_udp_sockets
function M.stats() return core.stats() end

--- Limits and use as text.
---
--- `socket.infos():match("^Sent: 0 / 1024")  --> "Sent: 0 / 1024"`
---
--- Manual: 'splay.restricted_socket'
---@return string
function M.infos()
  local max_send, max_receive, max_sockets, first, last, ip = core.limits()
  local sent, received, tcp, udp = core.stats()
  local function of(value, limit) return value .. " / " .. tostring(limit or "unlimited") end
  return table.concat({
    "Sent: " .. of(sent, max_send),
    "Received: " .. of(received, max_receive),
    "TCP sockets: " .. of(tcp, max_sockets) .. "  UDP sockets: " .. of(udp, max_sockets),
    ("Ports: %s"):format(first and first .. "-" .. tostring(last or first) or "any")
      .. (ip and "  Local ip: " .. ip or ""),
  }, "\n")
end

--- Adds `infos`, `limits` and `stats` to a socket module.
---
--- `restricted_socket.wrap(socket) == socket  --> true`
---@param sock table
---@return table sock
function M.wrap(sock)
  sock.infos, sock.limits, sock.stats = M.infos, M.limits, M.stats
  return sock
end

return M
