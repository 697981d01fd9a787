-- An index from before the table was made shorter.
local queue, other = { 1, 2, 3 }, { 4 }
queue[#queue + 1] = table.remove(queue, 1)
queue[#queue + 1] = table.remove(other)
