---@meta splay.test
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.test.Suite
---@field name string
---@field before function[]
---@field after function[]
---@field parent splay.test.Suite?

--- `test.expect(3).at_least(2).at_most(4)`
---@class splay.test.Expectation
---@field never splay.test.Expectation the same, negated
---@field equal fun(other: any): splay.test.Expectation the same value (`==`)
---@field same fun(other: any): splay.test.Expectation equal, tables by content
---@field is_nil fun(): splay.test.Expectation
---@field is_true fun(): splay.test.Expectation
---@field is_false fun(): splay.test.Expectation
---@field truthy fun(): splay.test.Expectation
---@field falsy fun(): splay.test.Expectation
---@field matches fun(pattern: string): splay.test.Expectation a string matching a Lua pattern
---@field near fun(other: number, eps: number?): splay.test.Expectation
---@field at_least fun(limit: number|string): splay.test.Expectation
---@field at_most fun(limit: number|string): splay.test.Expectation
---@field contains fun(item: any): splay.test.Expectation a substring, or a value of a table
---@field is_a fun(typename: string): splay.test.Expectation
---@field errors fun(pattern: string?): splay.test.Expectation a function that raises

---@class splay.test
local M = {}

--- Seconds a test may take before it counts as failed.
M.timeout = 30

--- States something about a value; a test without any such statement fails. Statements chain:
--- each returns the expectation, not negated.
---
--- ```lua
--- test.expect({ 1, 2 }).same({ 1, 2 })
--- test.expect(function() error("no") end).errors("no$")
--- test.expect("abc").never.contains("z")
--- ```
---
--- Errors: raises where the value is not as stated.
---@param value any
---@return splay.test.Expectation
function M.expect(value) end

--- Groups tests under a name; groups nest.
---
--- ```lua not run: it belongs into a file of tests
--- test.describe("queue", function() test.it("is empty at first", function() end) end)
--- ```
---@param name string
---@param body fun()
function M.describe(name, body) end

--- Adds a test.
---
--- ```lua not run: it belongs into a file of tests
--- test.it("dup copies", function() test.expect(misc.dup(5)).equal(5) end)
--- ```
---@param name string
---@param body fun()
---@param timeout number? seconds, instead of `test.timeout`
function M.it(name, body, timeout) end

--- Runs `f` before each test of the enclosing group.
---
--- ```lua not run: it belongs into a file of tests
--- test.before_each(function() q = queue.new() end)
--- ```
---@param f fun()
function M.before_each(f) end

--- Runs `f` after each test of the enclosing group, also after a failed one.
---
--- ```lua not run: it belongs into a file of tests
--- test.after_each(function() net.stop_server(20000) end)
--- ```
---@param f fun()
function M.after_each(f) end

--- Runs all tests, prints a line for each and a summary, and ends the process
--- (status 0: all passed). With the arguments `--filter TEXT`, only tests run whose full name
--- contains that text.
---
--- ```lua not run: it belongs into a file of tests
--- test.run()
--- ```
function M.run() end

return M
