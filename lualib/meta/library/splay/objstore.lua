---@meta splay.objstore
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.objstore.Settings
---@field directory string? where the objects are kept; nil: in memory alone
---@field flush "commit"|"second"|"never"|nil when the directory's log is written to the disk:
--- before a change is acknowledged (the default), once a second, or when the system sees fit
---@field max_bytes integer? what all objects may count for, or the directory's log; no bound if nil
---@field max_object_bytes integer? largest data of an object, 128 MiB if nil
---@field max_steps integer? work of a handler, about as many instructions, 10 million if nil
---@field max_memory integer? bytes of a handler's memory, 16 MiB if nil
---@field max_seconds number? longest time of a handler, 5 if nil
---@field compat "upstream"|"2013"|nil "2013": a function that is not registered is answered with
--- -EOPNOTSUPP, as the first description has it, and not with -EIO
---@field classes table<string, string>? scripts to install, by name
---@field log_level integer? lines that handlers log up to this level are logged here too, 0 if nil
---@field log nil|fun(level: integer, line: string, oid: string) where to, `splay.log` if nil

--- `local store = objstore.open()`
---@class splay.objstore.Store
---@field handle userdata
---@field log_level integer
---@field log fun(level: integer, line: string, oid: string)
local Store = {}

---@class splay.objstore.Service
---@field port integer? port to serve; nil: the program serves remote calls itself
---@field rpc table? `splay.rpc` if nil, or `splay.rpcq`
---@field name string? name of the global table of what is served, "object_store" if nil

--- Another node's store: the same operations, each a remote call.
---
--- ```lua
--- objstore.serve(objstore.open(), { port = 20111 })
--- local far = objstore.connect { ip = "127.0.0.1", port = 20111 }
--- far:write_full("o", "text")  --> true
--- far:read("o")                --> "text"
--- ```
---@class splay.objstore.Remote
---@field node splay.Node
---@field rpc table
---@field timeout number?
---@field name string
local Remote = {}

---@class splay.objstore.Connection
---@field rpc table? `splay.rpc` if nil, or what the other side serves
---@field timeout number? seconds a call may take
---@field name string? name of the table that is served, "object_store" if nil

---@class splay.objstore
local M = {}

--- Opens a store. A directory belongs to one store at a time; in the sandbox any name is a place of
--- the instance's own, and what stores hold counts with the files.
---
--- `objstore.open { directory = "objects", flush = "second" }:close()`
---
--- Errors: `nil, "reason", number`: "no room in the store", "`NAME` is in use", "`FILE` is damaged
--- at byte N ..." and those of the system. Raises for settings that make no sense.
---@param settings splay.objstore.Settings?
---@return splay.objstore.Store? store nil, "reason", number if it cannot be opened
---@return string? reason
---@return integer? number of the error
function M.open(settings) end

--- Runs a handler on an object, in a fresh state, as one transaction.
---
--- ```lua
--- local script = "function hello(input, output) output:append('hi ' .. input:str()) return 7 end"
---   .. " cls.register(hello)"
--- store:exec("anything", script, "hello", "you")  --> 7, "hi you", {}
--- store:exec("anything", script, "bye")           --> -95, "", { error = "no function `bye`" }
--- ```
---
--- Errors: a negative number, as a RADOS client gets it; then nothing has changed, and the field
--- `error` of the log says why if the handler did not return that number itself.
---@param oid string name of the object
---@param class string script, name of an installed class, or "lua", whose methods `eval_json` and
--- its like take a whole request as input
---@param handler string name of a function that the script registers; "" runs the script alone
---@param input string? what the handler gets
---@param ship boolean? also return the changes, for `apply` of other stores
---@return integer ret 0 or what the handler returned; negative: an error's number
---@return string output
---@return string[] log the lines that the handler logged, in order
---@return string? changes
function Store:exec(oid, class, handler, input, ship) end

--- Installs a class: a script that clients name instead of sending it.
---
--- ```lua
--- store:install("greeter", "function hello() return 1 end cls.register(hello)")  --> true
--- store:exec("anything", "greeter", "hello")  --> 1, "", {}
--- store:install("greeter", "x x")  --> nil, "greeter:1: '=' expected near 'x'", 22
--- ```
---
--- Errors: `nil, "reason", 22`: the script is not valid Lua, or the name is none.
---@param name string letters, digits, `_`, `-` and dots; not "lua"
---@param script string? nil takes the class away
---@return boolean? ok nil, "reason", number; false: there was nothing to take away
---@return string? reason
---@return integer? number of the error
function Store:install(name, script) end

--- Names of the installed classes.
---
--- `store:classes()  --> {}`
---@return string[] names in order
function Store:classes() end

--- Makes an object.
---
--- `store:create("new")        --> true`
--- `store:create("new", true)  --> nil, "File exists", 17`
---
--- Errors: `nil, "reason", number`: EEXIST if it is there and `exclusive`, ENOSPC.
---@param oid string
---@param exclusive boolean? fail if it is there
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:create(oid, exclusive, ship) end

--- Removes an object and all it holds.
---
--- `store:remove("missing")  --> nil, "No such file or directory", 2`
---
--- Errors: `nil, "reason", number`: ENOENT.
---@param oid string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:remove(oid, ship) end

--- Size and time of the last change.
---
--- `store:write_full("o", "text")`
--- `store:stat("o")  --> such as 4, 1700000000`
---
--- Errors: `nil, "reason", number`: ENOENT.
---@param oid string
---@return integer? size in bytes; nil, "reason", number
---@return integer|string mtime seconds since 1970
---@return integer? number of the error
function Store:stat(oid) end

--- Reads data: fewer bytes at the end of the object.
---
--- `store:write_full("o", "text")`
--- `store:read("o")        --> "text"`
--- `store:read("o", 1, 2)  --> "ex"`
---
--- Errors: `nil, "reason", number`: ENOENT, EINVAL for what is negative.
---@param oid string
---@param offset integer? in bytes, 0 if absent
---@param length integer? in bytes; 0 or absent: up to the end
---@return string? data nil, "reason", number
---@return string? reason
---@return integer? number of the error
function Store:read(oid, offset, length) end

--- Writes data; a gap before it becomes zeroes.
---
--- `store:write("gap", 2, "x")  --> true`
--- `store:read("gap")           --> "\0\0x"`
---
--- Errors: `nil, "reason", number`: EFBIG for a negative offset and beyond the largest object,
--- ENOSPC.
---@param oid string
---@param offset integer in bytes
---@param data string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:write(oid, offset, data, ship) end

--- Replaces all data.
---
--- `store:write_full("o", "other")  --> true`
---
--- Errors: as `write`.
---@param oid string
---@param data string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:write_full(oid, data, ship) end

--- Writes behind the end of the data.
---
--- `store:append("log", "a")`
--- `store:append("log", "b")`
--- `store:read("log")  --> "ab"`
---
--- Errors: as `write`.
---@param oid string
---@param data string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:append(oid, data, ship) end

--- Cuts the data, or fills it up with zeroes.
---
--- `store:write_full("o", "text")`
--- `store:truncate("o", 2)`
--- `store:read("o")  --> "te"`
---
--- Errors: `nil, "reason", number`: EINVAL for a negative size, EFBIG, ENOSPC.
---@param oid string
---@param size integer in bytes
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:truncate(oid, size, ship) end

--- Reads an attribute.
---
--- `store:setxattr("o", "owner", "me")`
--- `store:getxattr("o", "owner")   --> "me"`
--- `store:getxattr("o", "colour")  --> nil, "No data available", 61`
---
--- Errors: `nil, "reason", number`: ENODATA, or ENOENT without the object.
---@param oid string
---@param name string
---@return string? value nil, "reason", number
---@return string? reason
---@return integer? number of the error
function Store:getxattr(oid, name) end

--- Reads all attributes.
---
--- `store:setxattr("named", "owner", "me")`
--- `store:getxattrs("named")  --> { owner = "me" }`
---
--- Errors: `nil, "reason", number`: ENOENT.
---@param oid string
---@return table<string, string>? attributes nil, "reason", number
---@return string? reason
---@return integer? number of the error
function Store:getxattrs(oid) end

--- Sets an attribute.
---
--- `store:setxattr("o", "owner", "you")  --> true`
---
--- Errors: `nil, "reason", number`: ENOSPC.
---@param oid string
---@param name string
---@param value string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:setxattr(oid, name, value, ship) end

--- Removes an attribute.
---
--- `store:setxattr("o", "owner", "me")`
--- `store:rmxattr("o", "owner")  --> true`
---
--- Errors: `nil, "reason", number`: ENODATA, or ENOENT without the object.
---@param oid string
---@param name string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:rmxattr(oid, name, ship) end

--- Reads a value of the map.
---
--- `store:map_set_val("o", "key", "value")`
--- `store:map_get_val("o", "key")  --> "value"`
---
--- Errors: `nil, "reason", number`: ENOENT.
---@param oid string
---@param key string
---@return string? value nil, "reason", number
---@return string? reason
---@return integer? number of the error
function Store:map_get_val(oid, key) end

--- Sets a value of the map.
---
--- `store:map_set_val("o", "key", "value")  --> true`
---
--- Errors: `nil, "reason", number`: ENOSPC.
---@param oid string
---@param key string
---@param value string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:map_set_val(oid, key, value, ship) end

--- Keys of the map in the order of their bytes.
---
--- `store:map_set_val("index", "b", "")`
--- `store:map_set_val("index", "a", "")`
--- `store:map_get_keys("index")       --> { "a", "b" }`
--- `store:map_get_keys("index", "a")  --> { "b" }`
---@param oid string
---@param after string? only keys behind this one
---@param max integer? at most so many; all if absent
---@return string[] keys
function Store:map_get_keys(oid, after, max) end

--- Entries of the map.
---
--- `store:map_set_val("people", "name/ann", "1")`
--- `store:map_set_val("people", "town/rome", "2")`
--- `store:map_get_vals("people", "", "name/")  --> { ["name/ann"] = "1" }`
---@param oid string
---@param after string? only keys behind this one
---@param prefix string? only keys that begin so
---@param max integer? at most so many; all if absent
---@return table<string, string> values by key
function Store:map_get_vals(oid, after, prefix, max) end

--- Removes an entry of the map, if it is there.
---
--- `store:create("o")`
--- `store:map_remove_key("o", "missing")  --> true`
---
--- Errors: `nil, "reason", number`: ENOENT without the object.
---@param oid string
---@param key string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:map_remove_key(oid, key, ship) end

--- Removes all entries of the map; the header stays.
---
--- `store:create("o")`
--- `store:map_clear("o")  --> true`
---
--- Errors: `nil, "reason", number`: ENOENT without the object.
---@param oid string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:map_clear(oid, ship) end

--- Reads the header of the map.
---
--- `store:map_write_header("o", "v1")`
--- `store:map_read_header("o")  --> "v1"`
---@param oid string
---@return string header empty if there is none
function Store:map_read_header(oid) end

--- Sets the header of the map.
---
--- `store:map_write_header("o", "v1")  --> true`
---
--- Errors: `nil, "reason", number`: ENOSPC.
---@param oid string
---@param header string
---@param ship boolean? also return the changes
---@return true? ok nil, "reason", number
---@return string? changes
---@return integer? number of the error
function Store:map_write_header(oid, header, ship) end

--- Names of objects in the order of their bytes.
---
--- `local few = objstore.open()`
--- `few:create("b")`
--- `few:create("a")`
--- `few:list()  --> { "a", "b" }`
---@param after string? only names behind this one
---@param max integer? at most so many; all if absent
---@return string[] names
function Store:list(after, max) end

--- Version of an object. Every change gives it a higher one; a removed object keeps its last.
---
--- `store:version("never seen")  --> 0`
---@param oid string
---@return integer version 0: there never was such an object
function Store:version(oid) end

--- Versions of all objects that are there or were removed.
---
--- `objstore.open():versions()  --> {}`
---@return table<string, integer> versions by name
function Store:versions() end

--- What the store holds.
---
--- `objstore.open():stats()  --> { objects = 0, bytes = 0, disk_bytes = 0, version = 0 }`
---@return { objects: integer, bytes: integer, disk_bytes: integer, version: integer } stats what
--- objects count for is their bytes and a little for each object, attribute and key
function Store:stats() end

--- Makes changes that another store made (those that `ship` returns, or `whole`).
---
--- ```lua
--- local _, changes = store:append("o", "text", true)
--- local copy = objstore.open()
--- copy:apply(store:whole("o"))  --> "done"
--- copy:apply(changes)           --> "known"
--- ```
---
--- Errors: `nil, "reason", number`: ESTALE (116) if changes in between are missing, with the
--- version of the object here as fourth value; EINVAL if they are none; ENOSPC.
---@param changes string
---@param force boolean? a whole object replaces the one here whatever its version
---@return "done"|"known"|nil applied nil, "reason", number; "known": it has them, or later ones
---@return string? reason
---@return integer? number of the error
---@return integer? version
function Store:apply(changes, force) end

--- All there is of an object, as changes for `apply` of another store.
---
--- `store:whole("never seen")  --> nil`
---@param oid string
---@return string? changes nil if there never was such an object
function Store:whole(oid) end

--- Makes sure that all changes so far survive the end of the machine.
---
--- `store:flush()  --> true`
---
--- Errors: `nil, "reason", number` of the system.
---@return true? ok nil, "reason", number
---@return string? reason
---@return integer? number of the error
function Store:flush() end

--- Forgets the names and versions of removed objects, which take some room.
---
--- `local few = objstore.open()`
--- `few:create("a")`
--- `few:remove("a")`
--- `few:forget_removed()  --> 1`
---
--- Errors: `nil, "reason", number` of the system.
---@return integer? count nil, "reason", number
---@return string? reason
---@return integer? number of the error
function Store:forget_removed() end

--- Closes the store. What its directory has stays.
---
--- `objstore.open():close()`
function Store:close() end

--- The input of the method `eval_bufferlist` of the class `lua`.
---
--- ```lua
--- local input = objstore.encode_bufferlist("cls.create()", "", "")
--- objstore.open():exec("made", "lua", "eval_bufferlist", input)  --> 0, "", {}
--- ```
---@param script string
---@param handler string name of a function, or ""
---@param input string
---@return string
function M.encode_bufferlist(script, handler, input) end

--- Lets other nodes use a store, by remote calls of a global table.
---
--- `objstore.serve(objstore.open(), { port = 20110 })  --> true`
---
--- Errors: `nil, "reason"` if the port cannot be bound.
---@param store splay.objstore.Store
---@param service splay.objstore.Service?
---@return true? ok nil, "reason"
---@return string? reason
function M.serve(store, service) end

--- Runs a handler there: as `exec` of a store.
---
--- ```lua
--- objstore.serve(objstore.open(), { port = 20112 })
--- local far = objstore.connect { ip = "127.0.0.1", port = 20112 }
--- far:exec("o", "cls.create() cls.log('made')", "")  --> 0, "", { "made" }
--- ```
---
--- Errors: `nil, "reason"` if the call fails ("timeout": it may have been done).
---@async
---@param oid string
---@param class string
---@param handler string
---@param input string?
---@return integer? ret nil, "reason" if there is no answer
---@return string output
---@return string[] log
function Remote:exec(oid, class, handler, input) end

--- Makes an object that stands for another node's store. Nothing is sent yet.
---
--- `objstore.connect({ ip = "127.0.0.1", port = 20113 }):read("o")  --> nil, "connection refused"`
---
--- Errors: none; its methods return `nil, "reason"` if a call fails.
---@param node splay.Node
---@param connection splay.objstore.Connection?
---@return splay.objstore.Remote
function M.connect(node, connection) end

return M
