---@meta splay.restricted_socket
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

---@class splay.restricted_socket
local M = {}

--- Sets the limits, once and for all. What they forbid fails with `nil, "restricted"`.
---
--- `restricted_socket.init({ max_sockets = 10 })  --> false, "init() already called"`
---
--- Errors: `false, "init() already called"` or `false, "no settings"`.
---@param settings splay.restricted_socket.Settings
---@return boolean ok
---@return string? reason
function M.init(settings) end

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
function M.limits() end

--- What has been used so far.
---
--- `socket.stats()  --> such as 0, 0, 0, 0`
---
--- Manual: 'splay.restricted_socket'
---@return integer total_sent
---@return integer total_received
---@return integer total_tcp_sockets
---@return integer total_udp_sockets
function M.stats() end

--- Limits and use as text.
---
--- `socket.infos():match("^Sent: 0 / 1024")  --> "Sent: 0 / 1024"`
---
--- Manual: 'splay.restricted_socket'
---@return string
function M.infos() end

--- Adds `infos`, `limits` and `stats` to a socket module.
---
--- `restricted_socket.wrap(socket) == socket  --> true`
---@param sock table
---@return table sock
function M.wrap(sock) end

return M
