---@meta

--- The globals an application finds besides Lua's own: `job` from the beginning, the others after
--- `require "splay.base"`. `view` is the one that it sets itself.
---
--- ```lua
--- require "splay.base"
--- splay.rpc == require "splay.rpc"  --> true
--- ```
---
--- Since: 0.1

--- A node: where an instance can be reached.
---@class splay.Node
---@field ip string address
---@field port integer

---@alias splay.Nodes splay.Node[]|fun(): splay.Node[]

--- What an instance knows of its job. It is nil where a program does not run as part of one: under
--- `splay lua`, and in tests; `utils.generate_job` makes one there.
---
--- `job.position, job.total  --> 1, 3`
---
--- Manual: 'Local execution vs. deployement over a testbed'
---@class splay.Job
job = {}

--- This instance.
---
--- `job.me  --> { ip = "127.0.0.1", port = 20001 }`
---
--- Manual: 'Local execution vs. deployement over a testbed'
---@type splay.Node
job.me = nil

--- The rank of this instance in the job's list, from 1.
---
--- `job.position  --> 1`
---
--- Manual: 'Local execution vs. deployement over a testbed'
---@type integer
job.position = nil

--- Instances of the job.
---
--- `job.total  --> 3`
---@type integer
job.total = nil

--- Identifier of the job.
---
--- `job.ref  --> "local"`
---@type string
job.ref = nil

--- Name of the job on a testbed.
---
--- `job.name  --> nil`
---@type string?
job.name = nil

--- What the user set when submitting the job, by name; empty where nothing was set.
---
--- ```lua not run: a job made by hand has none
--- job.env.TARGET  --> "10.0.0.1"
--- ```
---@type table<string, string>
job.env = nil

--- How `nodes` was chosen: the first of the job's list, or random others.
---
--- `job.list_type  --> "head"`
---
--- Manual: 'Local execution vs. deployement over a testbed'
---@type "head"|"random"
job.list_type = nil

--- The nodes given to this instance: an array that can also be called.
---
--- ```lua
--- job.nodes[2].port  --> 20002
--- #job.nodes()       --> 3
--- ```
---
--- Manual: 'Local execution vs. deployement over a testbed'
---@type splay.Nodes
job.nodes = nil

--- The nodes that are there now, where nodes come and go; otherwise those of `job.nodes`.
--- `job.nodes()` gives the same. On a testbed this follows, within about a second, what ends,
--- crashes, moves or is lost with its machine.
---
--- `#job.get_live_nodes()  --> 3`
---@return splay.Node[]
function job.get_live_nodes() end

--- Set by a program that wants to leave in order: called in a thread of its own when the instance
--- is to go, with a few seconds to do so.
---
--- ```lua
--- function job.on_stop() print("goodbye") end
--- job.on_stop()  --> nothing
--- ```
---@type fun()?
job.on_stop = nil

--- Set by a program that shows its overlay: what `splay plot`, and `splay run --plot`, draw as a
--- ring, a tree or a graph. Each field is a value, or a function that gives it. They are read when
--- the instance ends, however it does, so a function must not wait. A node is a table with `ip` and
--- `port`.
---
--- ```lua
--- local n = { id = 5, successor = { ip = "127.0.0.1", port = 20001 } }
--- view = { size = 2 ^ 4, id = function() return n.id end }
--- view.links = function() return { n.successor } end
--- view.id()  --> 5
--- ```
---
--- Since: 0.1
---@class splay.View
view = {}

--- Place of this instance on the ring: a number, or decimal or hexadecimal digits. Without it the
--- SHA-1 of the address stands for it.
---
--- ```lua not run: it is read when the instance ends
--- view.id = function() return n.id end
--- ```
---@type number|string|fun(): number|string|nil
view.id = nil

--- Size of the ring: identifiers are below it. `view.bits` may stand in its place.
---
--- ```lua not run: it is read when the instance ends
--- view.size = 2 ^ 40
--- ```
---@type number|fun(): number?
view.size = nil

--- Bits of an identifier, in place of `view.size`.
---
--- ```lua not run: it is read when the instance ends
--- view.bits = 160
--- ```
---@type integer|fun(): integer?
view.bits = nil

--- Whom this instance knows: an array of nodes, or of tables that hold a node in `to` and words
--- about the link in `label` and `kind`.
---
--- ```lua not run: it is read when the instance ends
--- view.links = function() return { successor, { to = finger[2], kind = "finger" } } end
--- ```
---@type table|fun(): table?
view.links = nil

--- Parent in a tree: a node, nil at the root, false outside of the tree.
---
--- ```lua not run: it is read when the instance ends
--- view.parent = function() return parent end
--- ```
---@type splay.Node|false|fun(): splay.Node|false|nil
view.parent = nil

--- A few words beside the node.
---
--- ```lua not run: it is read when the instance ends
--- view.label = function() return state end
--- ```
---@type string|fun(): string?
view.label = nil

--- The module `splay.events`.
---
--- `events == require "splay.events"  --> true`
---
--- Manual: 'splay.base'
---@type splay.events
events = nil

--- The module `splay.log`.
---
--- `log == require "splay.log"  --> true`
---
--- Manual: 'splay.base'
---@type splay.log
log = nil

--- The module `splay.misc`.
---
--- `misc == require "splay.misc"  --> true`
---
--- Manual: 'splay.base'
---@type splay.misc
misc = nil

--- The module `splay.socket`.
---
--- `socket == require "splay.socket"  --> true`
---
--- Manual: 'splay.base'
---@type splay.socket
socket = nil

--- The module `splay.coxpcall`.
---
--- `coxpcall == require "splay.coxpcall"  --> true`
---@type splay.coxpcall
coxpcall = nil

--- The libraries by their names without `splay.`, loaded when they are first asked for.
---
--- `splay.queue.new().empty()  --> true`
---
--- Manual: 'splay.base'
---@type table<string, any>
splay = nil
