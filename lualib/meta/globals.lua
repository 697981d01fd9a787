---@meta
-- Editor stubs: the globals an application sees besides Lua's own.

---@class splay.Node
---@field ip string
---@field port integer

---@alias splay.Nodes splay.Node[]|fun(): splay.Node[]

---@class splay.Job
---@field ref string identifier of the job
---@field me splay.Node this instance
---@field position integer its rank in the job's list, from 1
---@field total integer instances of the job
---@field list_type "head"|"random" how `nodes` was chosen
---@field nodes splay.Nodes the nodes given to this instance, indexable and callable
---@field get_live_nodes fun(): splay.Node[] who is there now, as nodes come and go (`nodes()` too)
---@field on_stop fun()? set by the program: called when it is to leave, with a few seconds to do so

---@type splay.Job?
job = nil

--- After `require "splay.base"`.
---@type splay.events
events = nil
---@type splay.log
log = nil
---@type splay.misc
misc = nil
