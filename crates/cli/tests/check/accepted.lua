#!/usr/bin/env splay
-- What Lua 5.1 programs hold and the runtime accepts.
local dotted = "a\.b"
local function count(...) return arg.n end
local i = 0
::again::
i = i + 1
if i < 3 then goto again end
print(dotted, count(1, 2), 0xff, 5LL, table.getn({}), string.gfind, math.mod(5, 2))
for w in string.gfind("one two", "%a+") do print(w) end
return setmetatable({}, { __index = _G })
