--- Keys that live as long as their holder, part of `splay.etcd.patterns`.
local events = require "splay.events"
local core = require "splay.misc_core"

local M = {}

--- Seconds that a key lives without its holder.
M.TTL = 5
--- Seconds before one who failed to reach the server tries again.
M.RETRY = 0.5

--- The store's index when it answered.
---@param answer splay.etcd.Answer
---@return integer
function M.index_of(answer) return tonumber(answer.header["x-etcd-index"]) end

--- Why something was not done.
---@param answer splay.etcd.Answer?
---@param reason string?
---@return string
function M.reason_of(answer, reason)
  if not answer then return tostring(reason) end
  local body = answer.body
  if type(body) == "table" and body.message then return (tostring(body.message):lower()) end
  if answer.status == 408 then return "timeout" end
  return "status " .. answer.status
end

--- Lets a key live on as long as its holder, who is told when it does not.
---@param holder table with a method `_lose`
---@param cli splay.etcd.Client
---@param key string
---@param ttl integer seconds
function M.keep(holder, cli, key, ttl)
  holder.key, holder.valid_until = key, core.now() + ttl
  holder.keeper = events.thread(function()
    while holder.key == key do
      events.sleep(ttl / 3)
      if holder.key ~= key then return end
      local sent = core.now()
      local answer = cli:refresh(key, ttl)
      if answer and answer.status == 200 then
        if holder.key == key then holder.valid_until = sent + ttl end
      elseif answer and answer.status == 404 or core.now() >= holder.valid_until then
        if holder.key == key then holder:_lose() end
        return
      end
    end
  end)
end

return M
