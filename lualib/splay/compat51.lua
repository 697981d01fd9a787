--- What Lua 5.1 had and LuaJIT lacks; run once, before the program.
math.mod = math.mod or math.fmod
string.gfind = string.gfind or string.gmatch
table.setn = table.setn or function() error("'setn' is obsolete", 2) end

return true
