--- Network block devices: an NBD server whose disk is made of Lua functions, those of nbdkit's Lua
--- plugins. Callbacks run in threads and may wait, for the answer of another node for example.
---
--- ```lua
--- local disk = nbd.memory(1048576)
--- local server = nbd.serve(20600, disk)
--- local c = nbd.connect("127.0.0.1", 20600)
--- c:pwrite("hello", 512)  --> true
--- c:pread(5, 512)         --> "hello"
--- server:close()
--- ```
---
--- Since: 0.2
local core = require "splay.nbd_core"
local events = require "splay.events"
local socket = require "splay.socket"
local socket_core = require "splay.socket_core"
local connection = require "splay.nbd_connection"

local type, tostring, tonumber, setmetatable = type, tostring, tonumber, setmetatable
local ipairs, pairs, rawset = ipairs, pairs, rawset
local thread = events.thread

local M = {}

--- A disk: the callbacks of an nbdkit plugin, called with a dot. `h` is what `open` has returned;
--- an error that a callback raises is the client's EIO, or the one that
--- `error { errno = "ENOSPC", message = "full" }` names.
---@class splay.nbd.Plugin
---@field open nil|fun(readonly: boolean, name: string): any for each connection; nil: no handle
---@field get_size fun(h: any): integer bytes
---@field pread fun(h: any, count: integer, offset: integer): string
---@field pwrite nil|fun(h: any, data: string, offset: integer) absent: read-only
---@field flush nil|fun(h: any)
---@field trim nil|fun(h: any, count: integer, offset: integer)
---@field zero nil|fun(h: any, count: integer, offset: integer, may_trim: boolean)
---@field cache nil|fun(h: any, count: integer, offset: integer)
---@field extents nil|fun(h: any, count: integer, offset: integer): table[] runs of bytes:
--- their lengths, and "hole" or "zero" or both with a comma
---@field close nil|fun(h: any)
---@field can_write nil|fun(h: any): boolean and so on: can_flush, can_trim, can_cache, can_extents,
--- can_multi_conn, can_fast_zero, is_rotational
---@field block_size nil|fun(h: any): integer, integer, integer smallest, preferred, largest request
---@field description string? a text for people
---@field parallel integer|true|nil as the setting of `serve`

--- Files in PEM form.
---@class splay.nbd.Tls
---@field certificate string? the server's
---@field key string? its private key
---@field certificate_pem string? what `certificate` would contain
---@field key_pem string? what `key` would contain
---@field cafile string? clients have to show a certificate that one of these signs
---@field required boolean? connections must be encrypted

---@class splay.nbd.Settings
---@field readonly boolean? nothing is written
---@field parallel integer|true|nil callbacks that run at the same time for a connection (true: 16);
--- absent: one at a time for the whole server, as nbdkit does it
---@field exports table<string, splay.nbd.Plugin>? several disks by name, in place of the one
---@field ip string? address to bind, default all
---@field tls splay.nbd.Tls? connections can be encrypted
---@field log nil|fun(text: string) hears of errors; default: `l_o`, as errors

--- What is logged if a server has no `log` of its own.
---
--- `nbd.l_o.level  --> 3`
---@type splay.log.Object
M.l_o = nil

-- Makes what few programs need when it is first used.
setmetatable(M, {
  __index = function(t, key)
    if key ~= "l_o" then return nil end
    local l_o = require("splay.log").new(3, "[splay.nbd]")
    rawset(t, key, l_o)
    return l_o
  end,
})

-- Servers ----------------------------------------------------------------------------------------

--- A server, as `serve` returns it.
---@class splay.nbd.Server
---@field port integer? the port it listens on
---@field path string? or the path
---@field connections integer clients that are connected
local Server = {}
Server.__index = Server

--- Stops: no client is accepted any more, and those that are connected are cut.
---
--- ```lua
--- local server = nbd.serve(20601, nbd.memory(512))
--- server:close()
--- nbd.connect("127.0.0.1", 20601)  --> nil, "connection refused"
--- ```
function Server:close()
  self.listener:close()
  if self.path then os.remove(self.path) end
  for conn in pairs(self.clients) do conn.session:close() end
end

local function connected(server, sock)
  server.number = server.number + 1
  local conn = { server = server, number = server.number, sock = sock }
  local session = core.session(sock, server.names, server.tls)
  if not session then return sock:close() end
  conn.session = session
  server.clients[conn] = true
  server.connections = server.connections + 1
  thread(function()
    connection.serve(conn)
    server.clients[conn] = nil
    server.connections = server.connections - 1
  end)
end

local function accept_all(server)
  while true do
    local sock, reason = server.listener:accept()
    if sock then
      connected(server, sock)
    elseif reason == "closed" then
      return
    elseif reason ~= "timeout" then
      M.l_o:warn("accept: " .. tostring(reason))
      events.sleep(0.1) -- out of descriptors, say: do not spin
    end
  end
end

local function listen(address, ip)
  if type(address) == "table" then
    ip, address = ip or address.ip, address.port
  end
  if type(address) == "string" and address:find("/", 1, true) then
    local path = address:gsub("^unix:", "")
    local listener, reason = socket_core.unix_listen(path)
    return listener, reason, path
  end
  local port = tonumber(address)
  if not port then error("nbd.serve: no port or path", 3) end
  return socket.bind(ip or "*", port)
end

local function check_plugin(plugin)
  if type(plugin) ~= "table" then error("nbd.serve: no plugin", 3) end
  for _, name in ipairs { "get_size", "pread" } do
    if type(plugin[name]) ~= "function" then
      error(("nbd.serve: the plugin has no function %q"):format(name), 3)
    end
  end
end

--- Serves a disk to NBD clients. By default the callbacks of all its connections run one at a
--- time, so that they may keep state without locks, even if they wait.
---
--- ```lua
--- local zeroes = { get_size = function() return 4096 end,
---   pread = function(h, count) return ("\0"):rep(count) end }
--- local server = nbd.serve(20602, zeroes)
--- nbd.connect("127.0.0.1", 20602).readonly  --> true
--- server:close()
--- ```
---
--- Errors: `nil, "reason"`: "address already in use", "restricted" (a Unix socket in the sandbox),
--- "no Unix sockets here" (in a simulation), those of certificates. Raises on a plugin that lacks
--- what it needs.
---@param address integer|string|table port, path of a Unix socket (it has a `/`), or node
---@param plugin splay.nbd.Plugin? nil if `settings.exports` has them
---@param settings splay.nbd.Settings?
---@return splay.nbd.Server? server nil, "reason"
---@return string? reason
function M.serve(address, plugin, settings)
  settings = settings or {}
  local exports, names = settings.exports or {}, nil
  if settings.exports then
    names = {}
    for name, one in pairs(exports) do
      check_plugin(one)
      names[#names + 1] = { name = name, description = one.description }
    end
    table.sort(names, function(x, y) return x.name < y.name end)
  else
    check_plugin(plugin)
  end
  local context, tls, reason
  if settings.tls then
    local given = settings.tls
    context, reason = require("ssl").newcontext {
      mode = "server", certificate = given.certificate, key = given.key, cafile = given.cafile,
      certificate_pem = given.certificate_pem, key_pem = given.key_pem,
      verify = given.cafile and "peer" or "none", server_name = "localhost",
    }
    if not context then return nil, reason end
    tls = given.required and "required" or "allowed"
  end
  local listener, why, path = listen(address, settings.ip)
  if not listener then return nil, why end
  listener:settimeout(nil)
  local server = setmetatable({
    listener = listener, path = path, exports = exports, single = plugin, names = names,
    readonly = settings.readonly == true, parallel = settings.parallel,
    log = settings.log or function(line) M.l_o:error(line) end,
    context = context, tls = tls, clients = {}, connections = 0, number = 0, queue = {},
  }, Server)
  if not path then
    local _, port = listener:getsockname()
    server.port = tonumber(port)
  end
  thread(function() accept_all(server) end)
  return server
end

-- Other parts ------------------------------------------------------------------------------------

--- Reads an nbdkit Lua script, written for Lua 5.3, and configures it as nbdkit would. Its
--- operators `//`, `&`, `|`, `~`, `<<` and `>>` are understood; what else differs is listed in the
--- reference of NBD servers. Its globals are its own.
---
--- ```lua
--- nbd.load("/no/such.lua")
---   --> nil, "could not parse Lua script cannot open /no/such.lua: No such file or directory"
--- ```
---
--- Errors: `nil, "reason"` in nbdkit's words.
---@async
---@param path string
---@param parameters nil|table<string, string>|string[] a map, or "key=value" in their order
---@return splay.nbd.Plugin? plugin nil, "reason"
---@return string? reason
function M.load(path, parameters)
  return require("splay.nbd_script").load(path, parameters)
end

--- The same of a script that is a string.
---
--- ```lua
--- local disk = nbd.loadstring([[
---   function open() return 1 end
---   function get_size() return 1 << 20 end
---   function pread(h, count, offset) return ("x"):rep(count) end
--- ]], "script.lua")
--- disk.get_size()  --> 1048576
--- nbd.loadstring("error('no')", "script.lua")
---   --> nil, "could not run Lua script: script.lua:1: no"
--- ```
---
--- Errors: as of `load`.
---@async
---@param source string
---@param name string in messages
---@param parameters nil|table<string, string>|string[]
---@return splay.nbd.Plugin? plugin nil, "reason"
---@return string? reason
function M.loadstring(source, name, parameters)
  return require("splay.nbd_script").loadstring(source, name, parameters)
end

--- A disk in memory: what is written takes space, the rest reads as zeroes.
---
--- `nbd.memory(4096).pread(nil, 3, 0)  --> "\0\0\0"`
---@param size integer bytes
---@return splay.nbd.Plugin
function M.memory(size)
  return require("splay.nbd_memory").new(size)
end

--- Connects to an NBD server, whoever's it is.
---
--- ```lua
--- local server = nbd.serve(20603, nbd.memory(8192))
--- local c = nbd.connect("127.0.0.1", 20603)
--- c.size                  --> 8192
--- c:pread(10, 8190)       --> nil, "EINVAL"
--- c:close()
--- server:close()
--- ```
---
--- Errors: `nil, "reason"`: those of connections, "unknown export" and others that servers tell.
---@async
---@param host string|table host, node, or path of a Unix socket
---@param port integer? absent after a node or path
---@param name string? of the export, default ""
---@return splay.nbd.Client? client nil, "reason"
---@return string? reason
function M.connect(host, port, name)
  return require("splay.nbd_client").connect(host, port, name)
end

return M
