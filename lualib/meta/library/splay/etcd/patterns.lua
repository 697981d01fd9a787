---@meta splay.etcd.patterns
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.etcd.LineOptions
---@field ttl integer? seconds that a place lives without its holder, 5 if absent
---@field value any? what others see of the holder
---@field lost fun()? called when the place is lost

--- A place in a line: the first in it holds what the line is for. Each waits for the one before it
--- alone, so that an end does not wake them all.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local line = patterns.line(cli, "/line", { value = "me" })
--- ```
---@class splay.etcd.Line
---@field key string? of the place, nil without one
---@field index integer? at which the place was taken: grows from holder to holder
local Line = {}

--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local lock = patterns.lock(cli, "/lock")
--- ```
---@class splay.etcd.Lock
local Lock = {}

--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local election = patterns.election(cli, "/leader", { value = "node 1" })
--- ```
---@class splay.etcd.Election
local Election = {}

--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local counter = patterns.counter(cli, "/count")
--- ```
---@class splay.etcd.Counter
local Counter = {}

--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local registry = patterns.registry(cli, "/nodes")
--- ```
---@class splay.etcd.Registry
---@field key string? own entry's, nil without one
local Registry = {}

---@class splay.etcd.patterns
local M = {}

--- A line in a directory.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.line(cli, "/places"):enter()  --> such as 4
--- ```
---@param cli splay.etcd.Client
---@param dir string
---@param opts splay.etcd.LineOptions?
---@return splay.etcd.Line
function M.line(cli, dir, opts) end

--- Joins the end of the line and waits until it is the first in it.
---
--- `line:enter()  --> such as 4`
--- `line:held()   --> true`
--- `line:leave()  --> true`
---
--- Errors: `nil, "timeout"`, `nil, "lost"` if the server forgot the place, or why it cannot be
--- reached; then there is no place any more.
---@async
---@param timeout number? seconds
---@return integer? index of the place, which grows from holder to holder; nil, "reason"
---@return string? reason
function Line:enter(timeout) end

--- Whether it is the first in the line, as far as can be known without asking.
---
--- `line:held()  --> false`
---@return boolean
function Line:held() end

--- Gives up its place.
---
--- `line:leave()  --> false`
---@async
---@return boolean left false: there was no place, or the server could not be told
function Line:leave() end

--- A lock: one holder at a time, in the order in which they came.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.lock(cli, "/locks/b", { ttl = 2 }):held()  --> false
--- ```
---@param cli splay.etcd.Client
---@param dir string
---@param opts splay.etcd.LineOptions?
---@return splay.etcd.Lock
function M.lock(cli, dir, opts) end

--- Waits for the lock. The number it gives grows from holder to holder: what the lock protects can
--- refuse a holder that was slow and has lost it.
---
--- `lock:acquire(10)  --> such as 4`
--- `lock:release()    --> true`
---
--- Errors: `nil, "timeout"`, `nil, "lost"`, or why the server cannot be reached.
---@async
---@param timeout number? seconds
---@return integer? token nil, "reason"
---@return string? reason
function Lock:acquire(timeout) end

--- Whether it has the lock still, as far as can be known without asking.
---
--- `lock:held()  --> false`
---@return boolean
function Lock:held() end

--- Gives the lock to the next.
---
--- `lock:release()  --> false`
---@async
---@return boolean released false: it was not held, or the server could not be told
function Lock:release() end

--- An election: of the candidates one leads at a time.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.election(cli, "/leaders", { value = job.me }):leads()  --> false
--- ```
---@param cli splay.etcd.Client
---@param dir string
---@param opts splay.etcd.LineOptions? `value`: what others see of the leader
---@return splay.etcd.Election
function M.election(cli, dir, opts) end

--- Is a candidate and waits until it leads.
---
--- `election:campaign()  --> such as 4`
--- `election:resign()    --> true`
---
--- Errors: `nil, "timeout"`, `nil, "lost"`, or why the server cannot be reached.
---@async
---@param timeout number? seconds
---@return integer? term grows from leader to leader; nil, "reason"
---@return string? reason
function Election:campaign(timeout) end

--- Whether it leads, as far as can be known without asking.
---
--- `election:leads()  --> false`
---@return boolean
function Election:leads() end

--- Waits until it does not lead any more.
---
--- `election:campaign()`
--- `events.thread(function() events.sleep(1) election:resign() end)`
--- `election:wait_end()`
---@async
function Election:wait_end() end

--- Leads no more, and is no candidate.
---
--- `election:resign()  --> false`
---@async
---@return boolean resigned false: it was none, or the server could not be told
function Election:resign() end

--- Who leads.
---
--- `election:leader()  --> nil, nil`
---
--- Errors: `nil, "reason"`: why the server cannot be reached, or what it says.
---@async
---@return any value of the leader; nil without one, or nil, "reason"
---@return integer|string|nil term
function Election:leader() end

--- Waits until so many have come to a barrier; whoever comes later goes through at once.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.barrier(cli, "/start", 1)  --> true
--- ```
---
--- Errors: `nil, "timeout"`, or why the server cannot be reached.
---@async
---@param cli splay.etcd.Client
---@param dir string
---@param count integer how many are waited for
---@param timeout number? seconds
---@return true? open nil, "reason"
---@return string? reason
function M.barrier(cli, dir, count, timeout) end

--- A number that many add to.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.counter(cli, "/visits"):add()  --> 1
--- ```
---@param cli splay.etcd.Client
---@param key string
---@return splay.etcd.Counter
function M.counter(cli, key) end

--- The number; 0 if nobody has added to it.
---
--- `counter:get()  --> 0, nil`
---
--- Errors: `nil, "reason"`: why the server cannot be reached, or what it says; "not a number" if
--- the key has another value.
---@async
---@return number? value nil, "reason"
---@return integer|string|nil index of its last change, nil if there was none
function Counter:get() end

--- Adds to the number: nothing of what others add at the same time is lost.
---
--- `counter:add(2)  --> 2`
--- `counter:add()   --> 3`
---
--- Errors: as `get`.
---@async
---@param amount number? 1 if absent
---@return number? value after it; nil, "reason"
---@return string? reason
function Counter:add(amount) end

--- A registry: who is there, by the names they gave themselves.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.registry(cli, "/members", { ttl = 2 }):members()  --> {}
--- ```
---@param cli splay.etcd.Client
---@param dir string
---@param opts { ttl: integer? }? seconds after which one that is not heard from is gone
---@return splay.etcd.Registry
function M.registry(cli, dir, opts) end

--- Is there from now on, under a name, until it leaves or the server does not hear from it.
---
--- `registry:join("c", { port = 1 })  --> true`
--- `registry:leave()  --> true`
---
--- Errors: `nil, "reason"`: why the server cannot be reached, or what it says.
---@async
---@param name string without slashes
---@param value any? what others see, true if absent
---@return true? joined nil, "reason"
---@return string? reason
function Registry:join(name, value) end

--- Is there no more.
---
--- `registry:leave()  --> false`
---@async
---@return boolean left false: it was not there, or the server could not be told
function Registry:leave() end

--- Who is there: values by name.
---
--- `registry:join("a", 1)`
--- `registry:members()  --> { a = 1 }`
--- `registry:leave()  --> true`
---
--- Errors: as `join`.
---@async
---@return table<string, any>? members nil, "reason"
---@return string? reason
function Registry:members() end

--- Calls functions when one comes and when one goes, at first for all that are there. What
--- happens while the server cannot be reached is told afterwards.
---
--- ```lua
--- registry:watch(function(name) print(name .. " came") end)
--- registry:join("b")
--- events.sleep(1)  --> prints b came
--- registry:leave()
--- ```
---@param came fun(name: string, value: any)?
---@param gone fun(name: string, value: any)?
---@return string thread ends the watch when killed
function Registry:watch(came, gone) end

return M
