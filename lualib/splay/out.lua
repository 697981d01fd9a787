--- Destinations for log lines: standard output, a file, a network peer.
---
--- Since: 0.1
--- Manual: 'splay.log (and splay.out)'
local M = {}
local print = print
local stdout = type(io) == "table" and io.stdout or nil

--- A function that prints its argument on standard output at once.
---
--- `out.print()("hello")  --> prints hello`
---
--- Manual: 'splay.log (and splay.out)'
---@return fun(msg: any)
function M.print()
  return function(msg)
    print(msg)
    if stdout then stdout:flush() end
  end
end

--- A function that appends its argument to a file as a line.
---
--- ```lua
--- local l_o = log.new(1)
--- l_o.out = out.file("my_log.txt")
--- l_o:error("written")  --> true
--- ```
---
--- Errors: `nil, "reason"` if the file cannot be opened; "no file" without a name.
--- Manual: 'splay.log (and splay.out)'
---@param file_name string
---@return (fun(msg: any))? write nil, "reason" if the file cannot be opened
---@return string? reason
function M.file(file_name)
  if not file_name then return nil, "no file" end
  local file, reason = io.open(file_name, "a")
  if not file then return nil, reason end
  return function(msg)
    file:write(tostring(msg), "\n")
    file:flush()
  end
end

--- A function that sends its argument as a line over one TCP connection; it may wait.
---
--- ```lua
--- net.server(20210, function(s) print(s:receive()) end)
--- out.network({ ip = "127.0.0.1", port = 20210 })("hello")
--- events.sleep(1)  --> prints hello
--- ```
---
--- Errors: `nil, "reason"` if nobody can be connected; "no ip and port" without an address.
--- Manual: 'splay.log (and splay.out)'
---@async
---@param ip string|table host, or a node
---@param port integer? unless `ip` is a node
---@return (fun(msg: any))? write nil, "reason" if nobody can be connected
---@return string? reason
function M.network(ip, port)
  if type(ip) == "table" then ip, port = ip.ip, ip.port end
  if not ip or not port then return nil, "no ip and port" end
  local peer, reason = require("splay.socket").connect(ip, port)
  if not peer then return nil, reason end
  return function(msg) peer:send(tostring(msg) .. "\n") end
end

return M
