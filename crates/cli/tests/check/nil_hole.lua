-- `#` of tables with holes.
local view = { "a", "b" }
local triple = { 1, nil, 3 }
print(#triple, #{ 1, nil })

for i, node in ipairs(view) do
  if node == "a" then view[i] = nil end
end
for i = 1, #view do
  view[i] = nil -- all of them: no hole stays
end
view[#view] = nil
local set = { a = true }
for name in pairs(set) do
  if name == "a" then set[name] = nil end -- nobody measures it
end
