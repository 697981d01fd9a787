---@meta splay.etcd
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.etcd.Options
---@field host string? URL of the server, `http://127.0.0.1:4001` if absent
---@field peer string? URL for the administration, `http://127.0.0.1:7001` if absent
---@field ttl integer? seconds that keys live if a call does not say it; -1, none, if absent
---@field prefix string? path before every key
---@field timeout integer? seconds of a request, 60 if absent; 0: no limit
---@field failover boolean? false: do not ask `peer` for other servers
---@field headers table<string, string>? more fields of every request

---@class splay.etcd.Answer
---@field status integer
---@field header table<string, string>?
---@field body any
---@field failover string? the server that answered in place of the one that was asked
---@field initFailoverURIs boolean? whether it is known now which other servers there are
---@field err string? why not

--- ```lua
--- etcd.serve(2379)
--- local url = "http://127.0.0.1:2379"
--- local cli = etcd.new { host = url, peer = url }
--- ```
---@class splay.etcd.Client
local Client = {}

--- `local server = etcd.serve(2379)`
---@class splay.etcd.Server
---@field port integer
local Server = {}

---@class splay.etcd
local M = {}

--- Asks for anything else.
---
--- `cli:request("keys", "GET", "/health").body  --> "{\"health\":\"true\"}"`
---
--- Errors: `nil, "reason"`: those of connections, or what came is no HTTP or no JSON. That the
--- server refuses is no error but an answer: see its `status`.
---@async
---@param which "keys"|"admin" the server at `host`, or at `peer`
---@param method string
---@param target string path and query
---@param body string?
---@param timeout integer? seconds, 0: no limit
---@param kind string? of the body, a form if absent
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:request(which, method, target, body, timeout, kind) end

--- The value of a key, decoded.
---
--- `cli:set("/k", { 1, 2 })`
--- `cli:get("/k").body.node.value  --> { 1, 2 }`
--- `cli:get("/none").body.errorCode  --> 100`
---
--- Errors: as `request`; `nil, "reason"` too for a key that is no string, or a value that is no
--- JSON.
---@async
---@param key string
---@param consistent boolean? ask the leader (etcd 0.4)
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:get(key, consistent) end

--- Sets a key.
---
--- `cli:set("/k", "v", 10).body.node.value  --> "\"v\""`
---
--- Errors: as `request`; `nil, "reason"` too for a key, value or ttl that can be none.
---@async
---@param key string
---@param value any JSON can have
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:set(key, value, ttl) end

--- Sets a key that is not there.
---
--- `cli:setnx("/nx", "v").status  --> 201`
--- `cli:setnx("/nx", "v").status  --> 412`
---
--- Errors: as `request`; `nil, "reason"` too for a key, value or ttl that can be none.
---@async
---@param key string
---@param value any JSON can have
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:setnx(key, value, ttl) end

--- Sets a key that is there, and was last changed at an index.
---
--- `cli:setx("/none", "v").status  --> 404`
---
--- Errors: as `set`; `nil, "modifiedIndex must be unsigned integer"`.
---@async
---@param key string
---@param value any JSON can have
---@param ttl integer? seconds it lives; -1: for ever
---@param modifiedIndex integer?
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:setx(key, value, ttl, modifiedIndex) end

--- Adds a value to a directory, under a name that sorts behind those before.
---
--- `cli:push("/queue", "job").status  --> 201`
---
--- Errors: as `request`; `nil, "reason"` too for a key, value or ttl that can be none.
---@async
---@param key string
---@param value any JSON can have
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:push(key, value, ttl) end

--- Removes a key, if its value and the index of its last change are those given.
---
--- `cli:set("/k", "v")`
--- `cli:delete("/k", "other").status  --> 412`
--- `cli:delete("/k", "v").status  --> 200`
---
--- Errors: as `request`; `nil, "reason"` too for a key, value or index that can be none.
---@async
---@param key string
---@param value any
---@param modifiedIndex integer?
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:delete(key, value, modifiedIndex) end

--- Waits for a change of a key.
---
--- `local was = cli:set("/k", "v").body.node.modifiedIndex`
--- `cli:wait("/k", was).body.action  --> "set"`
--- `cli:wait("/k", was + 1, 1)  --> { status = 408 }`
---
--- Errors: as `request`; `nil, "reason"` too for a key, index or timeout that can be none.
---@async
---@param key string
---@param modifiedIndex integer? of the first change that counts; the next if absent
---@param timeout integer? seconds, 0: no limit
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:wait(key, modifiedIndex, timeout) end

--- Waits for a change of a directory or of anything below it.
---
--- `local was = cli:set("/d/k", "v").body.node.modifiedIndex`
--- `cli:waitdir("/d", was).body.node.key  --> "/d/k"`
---
--- Errors: as `wait`.
---@async
---@param key string
---@param modifiedIndex integer? of the first change that counts; the next if absent
---@param timeout integer? seconds, 0: no limit
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:waitdir(key, modifiedIndex, timeout) end

--- What is in a directory. A key that is none is answered with status 404 and `node.dir` false.
---
--- `cli:set("/d/k", "v")`
--- `cli:readdir("/d").body.node.nodes[1].key  --> "/d/k"`
---
--- Errors: as `request`; `nil, "reason"` too for a parameter of the wrong type.
---@async
---@param key string
---@param recursive boolean? and all below
---@param consistent boolean? ask the leader (etcd 0.4)
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:readdir(key, recursive, consistent) end

--- Makes a directory.
---
--- `cli:mkdir("/made").body.node.dir  --> true`
---
--- Errors: as `request`; `nil, "reason"` too for a key or ttl that can be none.
---@async
---@param key string
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:mkdir(key, ttl) end

--- Makes a directory that is not there.
---
--- `cli:mkdirnx("/dnx").status  --> 201`
--- `cli:mkdirnx("/dnx").status  --> 412`
---
--- Errors: as `mkdir`.
---@async
---@param key string
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:mkdirnx(key, ttl) end

--- Removes a directory.
---
--- `cli:set("/d/k", "v")`
--- `cli:rmdir("/d").status  --> 403`
--- `cli:rmdir("/d", true).status  --> 200`
---
--- Errors: as `request`; `nil, "reason"` too for a parameter of the wrong type.
---@async
---@param key string
---@param recursive boolean? and all below
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:rmdir(key, recursive) end

--- Changes how long a key or directory lives, unless it is changed meanwhile.
---
--- `cli:set("/k", "v")`
--- `cli:setTTL("/k", 10).body.node.ttl  --> 10`
---
--- Errors: as `mkdir`.
---@async
---@param key string
---@param ttl integer seconds; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:setTTL(key, ttl) end

--- Lets a key live on with its value: whoever waits for a change of it is not told.
---
--- `cli:set("/k", "v", 5)`
--- `cli:refresh("/k", 10).body.node.ttl  --> 10`
---
--- Errors: as `set`.
---@async
---@param key string
---@param ttl integer seconds
---@param value any? it must have
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:refresh(key, ttl, value) end

--- Makes a client. It connects when it is first used.
---
--- `etcd.new { prefix = "/app", timeout = 5 }  --> ...`
--- `etcd.new { ttl = "x" }  --> nil, "opts.ttl must be int"`
---
--- Errors: `nil, "reason"`: an option of the wrong type, a URL that is none.
---@param opts splay.etcd.Options?
---@return splay.etcd.Client? client nil, "reason"
---@return string? reason
function M.new(opts) end

--- Runs a store that answers as etcd 3.4 does, within the program: nothing is kept on disk.
---
--- `etcd.serve(2380):stop()`
---
--- Errors: `nil, "reason"` if the port cannot be bound.
---@param port integer|table port, or node whose ip is bound
---@param name string? of the server, "default" if absent
---@return splay.etcd.Server? server nil, "reason" if it cannot listen
---@return string? reason
function M.serve(port, name) end

--- The version of the server.
---
--- `cli:version().body.etcdcluster  --> "3.4.0"`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:version() end

--- What the leader counts of its followers.
---
--- `cli:statsLeader().body.followers  --> {}`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:statsLeader() end

--- What the server says of itself.
---
--- `cli:statsSelf().body.state  --> "StateLeader"`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:statsSelf() end

--- How often what was done.
---
--- `cli:statsStore().body.watchers  --> 0`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:statsStore() end

--- The cluster's settings (etcd 0.4).
---
--- `cli:adminConfig().body.activeSize  --> 9`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:adminConfig() end

--- Changes the cluster's settings (etcd 0.4).
---
--- `cli:setAdminConfig({ activeSize = 5 }).body.activeSize  --> 5`
---
--- Errors: as `request`; `nil, "reason"` too for what is no table or cannot be JSON.
---@async
---@param config { activeSize: integer?, removeDelay: number?, syncInterval: number? }
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:setAdminConfig(config) end

--- The cluster's members, or one of them (etcd 0.4).
---
--- `cli:adminMachines().body[1].name  --> "default"`
---
--- Errors: as `request`; `nil, "name must be string"`.
---@async
---@param name string?
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:adminMachines(name) end

--- Removes a member from the cluster (etcd 0.4).
---
--- `cli:removeAdminMachines("other").status  --> 200`
---
--- Errors: as `request`; `nil, "name must be string"`.
---@async
---@param name string
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:removeAdminMachines(name) end

Client.config = Client.adminConfig

Client.setConfig = Client.setAdminConfig

Client.machines = Client.adminMachines

Client.removeMachine = Client.removeAdminMachines

--- Ends it: it accepts nothing more, connections are closed, what was in it is gone.
---
--- `etcd.serve(2390):stop()`
function Server:stop() end

return M
