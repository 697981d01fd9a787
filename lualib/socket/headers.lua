--- LuaSocket's table of header names as they are usually written.
---
--- Since: 0.1
local M = {}

local exceptions = {
  ["content-id"] = "Content-ID", ["content-md5"] = "Content-MD5", ["dnt"] = "DNT",
  ["etag"] = "ETag", ["message-id"] = "Message-ID", ["mime-version"] = "MIME-Version",
  ["te"] = "TE", ["www-authenticate"] = "WWW-Authenticate",
  ["x-spam-score"] = "X-Spam-Score", ["smtp-remote-recipient"] = "SMTP-Remote-Recipient",
}

--- The usual spelling by the name in small letters.
---
--- `headers.canonic["content-type"]  --> "Content-Type"`
---@type table<string, string>
M.canonic = setmetatable({}, {
  __index = function(t, name)
    if type(name) ~= "string" then return nil end
    local usual = exceptions[name] or name:lower():gsub("%f[%w]%l", string.upper)
    t[name] = usual
    return usual
  end,
})

return M
