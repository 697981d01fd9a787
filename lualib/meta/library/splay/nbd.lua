---@meta splay.nbd
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

--- A server, as `serve` returns it.
---@class splay.nbd.Server
---@field port integer? the port it listens on
---@field path string? or the path
---@field connections integer clients that are connected
local Server = {}

--- A connected client, as `nbd.connect` returns it. Several threads may use it at the same time.
---
--- ```lua
--- local server = nbd.serve(0, nbd.memory(8192))
--- local c = nbd.connect("127.0.0.1", server.port)
--- ```
---@class splay.nbd.Client
---@field size integer bytes
---@field readonly boolean
---@field flags integer the transmission flags
local Client = {}

---@class splay.nbd
local M = {}

--- What is logged if a server has no `log` of its own.
---
--- `nbd.l_o.level  --> 3`
---@type splay.log.Object
M.l_o = nil

--- Stops: no client is accepted any more, and those that are connected are cut.
---
--- ```lua
--- local server = nbd.serve(20601, nbd.memory(512))
--- server:close()
--- nbd.connect("127.0.0.1", 20601)  --> nil, "connection refused"
--- ```
function Server:close() end

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
function M.serve(address, plugin, settings) end

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
function M.load(path, parameters) end

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
function M.loadstring(source, name, parameters) end

--- A disk in memory: what is written takes space, the rest reads as zeroes.
---
--- `nbd.memory(4096).pread(nil, 3, 0)  --> "\0\0\0"`
---@param size integer bytes
---@return splay.nbd.Plugin
function M.memory(size) end

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
function M.connect(host, port, name) end

--- Reads.
---
--- ```lua
--- c:pread(2, 100)  --> "\0\0"
--- server:close()
--- c:pread(2, 100)  --> nil, "closed"
--- ```
---
--- Errors: `nil, "EINVAL"` and other errors of the server's, by name; those of connections.
---@async
---@param count integer bytes
---@param offset integer
---@return string? data nil, "reason"
---@return string? reason
function Client:pread(count, offset) end

--- Writes.
---
--- `c:pwrite("hello", 512, true)  --> true`
--- `c:pwrite("hello", 8190)  --> nil, "ENOSPC"`
---
--- Errors: `nil, "ENOSPC"` beyond the end, `nil, "EPERM"` if nothing may be written; else as
--- `pread`.
---@async
---@param data string
---@param offset integer
---@param fua boolean? it is durable before the reply
---@return true? done nil, "reason"
---@return string? reason
function Client:pwrite(data, offset, fua) end

--- Makes what was written durable.
---
--- `c:flush()  --> true`
---
--- Errors: as `pread`.
---@async
---@return true? done nil, "reason"
---@return string? reason
function Client:flush() end

--- Gives a range up.
---
--- `c:pwrite("hello", 0)`
--- `c:trim(4096, 0)  --> true`
--- `c:pread(5, 0)  --> "\0\0\0\0\0"`
---
--- Errors: `nil, "EPERM"` if nothing may be written; else as `pread`.
---@async
---@param count integer bytes
---@param offset integer
---@return true? done nil, "reason"
---@return string? reason
function Client:trim(count, offset) end

--- Makes a range zeroes.
---
--- `c:pwrite("hello", 0)`
--- `c:zero(4, 1)  --> true`
--- `c:pread(5, 0)  --> "h\0\0\0\0"`
---
--- Errors: as `pwrite`.
---@async
---@param count integer bytes
---@param offset integer
---@param no_hole boolean? space is kept for it
---@return true? done nil, "reason"
---@return string? reason
function Client:zero(count, offset, no_hole) end

--- Tells what is allocated, as runs of bytes.
---
--- ```lua
--- c:pwrite("hello", 4096)
--- c:extents(8192, 0)[1]  --> { length = 4096, hole = true, zero = true }
--- c:extents(8192, 0)[2]  --> { length = 4096, hole = false, zero = false }
--- ```
---
--- Errors: `nil, "not supported"` if the server does not tell it; else as `pread`.
---@async
---@param count integer bytes
---@param offset integer
---@return { length: integer, hole: boolean, zero: boolean }[]? extents nil, "reason"
---@return string? reason
function Client:extents(count, offset) end

--- Says good-bye and closes the connection.
---
--- `c:close()`
--- `c:flush()  --> nil, "closed"`
---@async
function Client:close() end

return M
