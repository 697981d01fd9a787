-- When did the last instance start, and which one ended first? splay lua slowest.lua events.jsonl
local cjson = require "cjson"

local last_start, first_end
for line in io.lines(arg[1]) do
  local event = cjson.decode(line)
  if event.event == "started" then last_start = event end
  if event.event == "ended" then first_end = first_end or event end
end
print("last to start:", last_start.instance, "first to end:", first_end.instance)
print("CPU of that one:", first_end.usage.cpu_seconds)
