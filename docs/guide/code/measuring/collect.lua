-- Sums up runs of rounds.lua: splay lua collect.lua FOLDER ...
local cjson = require "cjson"
local stats = require "splay.stats"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local rounds, bytes = {}, {}
for _, folder in ipairs(arg) do
  local summary = cjson.decode(read(folder .. "/summary.json"))
  local verdict = read(folder .. "/instances/1.log"):match("correct: %d+ nodes in (%d+) rounds")
  if summary.status == 0 and verdict then
    rounds[#rounds + 1] = tonumber(verdict)
    bytes[#bytes + 1] = summary.usage.sent_bytes / summary.instances
  else
    print(folder .. ": failed, left out")
  end
end
print("rounds:        ", stats.summary(rounds))
print("bytes per node:", stats.running(bytes):text())
