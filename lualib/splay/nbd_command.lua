--- What the command `splay nbd` runs: a script of nbdkit, served. Its output is lines for the
--- command, which knows files, processes and exit statuses.

local nbd = require "splay.nbd"
local events = require "splay.events"

local M = {}

-- Begins the line that tells the command where to be reached. No text of a script's does.
local READY = "\0ready "

local function complain(text) io.stderr:write("splay nbd: " .. text .. "\n") end

local function give_up(status, text)
  complain(text)
  os.exit(status)
end

-- The status of an error of `nbd.load`, as `splay nbd --help` has them.
local function status_of(reason)
  if reason:find("^could not parse Lua script cannot ") then return 3 end
  return reason:find("^could not parse ") and 4 or 1
end

local function dump(plugin)
  print("name=lua")
  print("lua_version=" .. jit.version .. ", with the operators of Lua 5.3")
  print("thread_model=" .. (plugin.parallel and "parallel" or "serialize_all_requests"))
  local names = {}
  for name, f in pairs(plugin) do
    if type(f) == "function" and name ~= "dump_plugin" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do print("has_" .. name .. "=1") end
  if plugin.dump_plugin then plugin.dump_plugin() end
end

local DESCRIBED = {
  open = { "readonly" },
  pread = { false, "count", "offset" }, pwrite = { false, "count", "offset" },
  trim = { false, "count", "offset" }, cache = { false, "count", "offset" },
  zero = { false, "count", "offset", "may_trim" }, extents = { false, "count", "offset" },
}

-- The same callbacks, each call told before it happens.
local function told(plugin)
  local verbose = {}
  for name, f in pairs(plugin) do
    verbose[name] = f
    if type(f) == "function" then
      verbose[name] = function(...)
        local line = "debug: " .. name
        for i, argument in ipairs(DESCRIBED[name] or {}) do
          local value = select(i, ...)
          if argument == "count" and type(value) == "string" then value = #value end
          if argument then line = line .. " " .. argument .. "=" .. tostring(value) end
        end
        complain(line)
        return f(...)
      end
    end
  end
  return verbose
end

--- Serves until it is stopped, or ends the program with the command's status.
---@async
---@param arguments string[] address, ip, options (names or `name=value`, with commas), folder of
--- certificates, the script and its parameters
function M.run(arguments)
  local address, ip, folder, script = arguments[1], arguments[2], arguments[4], arguments[5]
  local options = {}
  for word in arguments[3]:gmatch("[^,]+") do
    local name, value = word:match("^(.-)=(.*)$")
    options[name or word] = value or true
  end
  local parameters = {}
  for i = 6, #arguments do parameters[i - 5] = arguments[i] end
  events.run(function()
    local plugin, reason = nbd.load(script, parameters)
    if not plugin then give_up(status_of(reason), reason) end
    if options.dump then
      dump(plugin)
      os.exit(0)
    end
    local settings = {
      readonly = options.readonly, parallel = tonumber(options.parallel), log = complain,
      ip = ip ~= "" and ip or nil,
    }
    if options.tls then
      settings.tls = {
        certificate = folder .. "/server-cert.pem", key = folder .. "/server-key.pem",
        cafile = options.verify and folder .. "/ca-cert.pem" or nil,
        required = options.tls == "require",
      }
    end
    local server
    server, reason = nbd.serve(address, options.verbose and told(plugin) or plugin, settings)
    if not server then
      give_up(reason:find("%.pem") and 3 or 5, ("cannot serve at %s: %s"):format(address, reason))
    end
    print(READY .. (server.port or 0))
  end)
end

return M
