-- A value is missing.
local n = { ip = "127.0.0.1" }
local port = = 20000
