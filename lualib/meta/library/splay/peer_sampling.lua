---@meta splay.peer_sampling
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.peer_sampling.settings
---@field me splay.Node this node; other fields travel along in the entries that stand for it
---@field rpc table the module to call with
---@field call string? the global function that passes a call to `answer`; default
--- "exchange_views"
---@field c integer? entries of a view, default 8
---@field H integer? healing: so many of the oldest entries go first, default 1
---@field S integer? swapping: so many of the entries sent away go next, default c / 2 - H
---@field pull boolean? whether the other sends entries back, default true
---@field tail boolean? exchange with the oldest entry, not with a random one; default true
---@field period number? seconds between two exchanges, default 1

---@class splay.peer_sampling.entry: splay.Node
---@field age number rounds since the node has said this of itself

--- `local sampling = peer_sampling.new { me = job.me, rpc = rpc }`
--- `sampling:start(job.nodes)`
---@class splay.peer_sampling
---@field view splay.peer_sampling.entry[]
local Sampling = {}

local M = {}

--- Makes a service that does not run yet.
---
--- `local s = peer_sampling.new { me = job.me, rpc = rpc, c = 20, H = 1, S = 9 }`
---@param settings splay.peer_sampling.settings
---@return splay.peer_sampling
function M.new(settings) end

--- The entries to send: this node as new, then random others, the oldest only if the rest is not
--- enough. Also these others as a set.
---
--- `sampling:buffer()[1].port  --> 20001`
---@return splay.peer_sampling.entry[] buffer
---@return table<splay.peer_sampling.entry, true> sent
function Sampling:buffer() end

--- Makes the next view, out of the present one and what has come in: no node twice, then without
--- the oldest, those sent away, and random ones, as many as there are too many.
---
--- `sampling:select({ { ip = "127.0.0.1", port = 20009, age = 0 } }, {})`
--- `#sampling.view  --> 3`
---@param received splay.peer_sampling.entry[]
---@param sent table<splay.peer_sampling.entry, true>
function Sampling:select(received, sent) end

--- Starts with some known nodes, then exchanges entries in every period.
---
--- `#sampling.view  --> 2`
---@param list splay.Node[] this one among them or not
function Sampling:start(list) end

--- Ends the exchanges this node begins; it still answers those of others.
---
--- `sampling:stop()`
function Sampling:stop() end

--- One exchange, the active thread of the paper. A node that does not answer is forgotten.
---
--- `sampling:exchange() -- nobody answers: the node is forgotten`
--- `#sampling.view  --> 1`
---@async
function Sampling:exchange() end

--- What another node's exchange is answered with, the passive thread of the paper; to be called
--- by the global function named `call`.
---
--- ```lua
--- local node = { ip = "127.0.0.1", port = 20009, age = 0 }
--- #sampling:answer({ node })  --> 3
--- #sampling.view              --> 3
--- ```
---@param received splay.peer_sampling.entry[]
---@return splay.peer_sampling.entry[]? sent nil without `pull`
function Sampling:answer(received) end

--- A random node, or some different ones.
---
--- `sampling:peer().ip  --> "127.0.0.1"`
--- `#sampling:peer(2)   --> 2`
---@param n integer? how many, at most those known
---@return splay.peer_sampling.entry|splay.peer_sampling.entry[]|nil
function Sampling:peer(n) end

return M
