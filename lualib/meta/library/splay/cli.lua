---@meta splay.cli
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.cli
local M = {}

--- The parameters of an application: defaults, changed by the job's arguments (`job.args`, an
--- array or one line of text), these by the command line. An argument is `name=value` or, for a
--- boolean, its name alone; it has the type of its default. Numbers at the beginning, the
--- position and total of a run by hand, are skipped. A name without a default, or a value of
--- another type, raises an error that names it.
---
--- ```lua
--- cli.parameters({ period = 1, stay = false }, { "3", "50", "period=2" })
---   --> { period = 2, stay = false }
--- cli.parameters({ period = 1 }, { "perriod=2" })
---   --> error unknown parameter `perriod`; did you mean `period`? there are: period (1)
--- ```
---
--- Errors: raises for a name without a default and a value of another type.
---@param defaults table<string, number|string|boolean>
---@param list string[]? instead of the job's arguments and the global `arg`
---@return table<string, any> parameters a table of its own
function M.parameters(defaults, list) end

--- Makes this instance crash with a probability: at a random time of the run it prints a line and
--- ends at once, without a word to the others. The first instance, which judges the others in
--- most applications, never crashes. A picture of the overlay (`view`) has it among the dead.
---
--- `cli.crash(0, 20)  --> nil`
---
--- Errors: raises unless probability and time are numbers.
---@param probability number 0: never, 1: surely
---@param within number seconds from now in which it happens
---@param after number? but not before so many seconds, default 0
---@return number|nil time seconds from now of the crash, nil if there will be none
function M.crash(probability, within, after) end

return M
