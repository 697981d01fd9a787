-- Tells what an instance really exports: a line `MODULE NAME KIND PARAMETERS` for each function or
-- value of the modules named in `wanted.lua`, which lies beside it. PARAMETERS is the number a Lua
-- function declares, `...` if it takes any, `-` if it is native or no function.
require "splay.base"
local wanted = dofile(arg[1])

local function parameters(value)
  if type(value) ~= "function" then return "-" end
  local info = debug.getinfo(value, "Su")
  if info.what == "C" then return "-" end
  return info.isvararg and "..." or tostring(info.nparams)
end

local told = {}
local function tell(module, name, value)
  local line = ("%s\t%s\t%s\t%s"):format(module, name, type(value), parameters(value))
  if not told[line] then print(line) end
  told[line] = true
end

local function keys(t)
  local names = {}
  for name in pairs(t) do
    if type(name) == "string" and name:sub(1, 1) ~= "_" then names[#names + 1] = name end
  end
  return names
end

-- What can be reached in a table, and in the one that stands behind it.
local function walk(module, prefix, t, inner)
  for _, name in ipairs(keys(t)) do
    tell(module, prefix .. name, t[name])
    if inner[prefix .. name] and type(t[name]) == "table" then
      walk(module, prefix .. name .. ".", t[name], {})
    end
  end
  local meta = getmetatable(t)
  if type(meta) == "table" and type(meta.__index) == "table" and prefix == "" then
    walk(module, prefix, meta.__index, inner)
  end
end

for module, names in pairs(wanted) do
  local t = require(module)
  local inner = {}
  if type(t) == "table" then
    for _, name in ipairs(names) do
      -- What is loaded when it is first asked for is there afterwards.
      local first, second = name:match("^([^.]+)%.(.+)$")
      if first then inner[first] = true else _ = t[name] end
      if name:sub(1, 1) == "_" and t[name] ~= nil then tell(module, name, t[name]) end
      if second and type(t[first]) == "table" then _ = t[first][second] end
    end
    walk(module, "", t, inner)
  end
end

-- Objects: their methods are told as `CLASS:name`, those of classes without a name in the sources
-- as `class.name`.
local function methods(module, class, object)
  local seen = object
  local index = (debug.getmetatable(object) or {}).__index
  if type(index) == "table" then
    seen = index
  elseif type(object) == "userdata" then
    -- Native objects keep their methods with the function that finds them.
    _, seen = debug.getupvalue(index, 1)
  end
  for _, name in ipairs(keys(seen)) do
    if type(seen[name]) == "function" then tell(module, class .. name, seen[name]) end
  end
end

events.run(function()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  local function connection() return assert(socket.connect("127.0.0.1", port)) end
  local io_of = require "splay.restricted_io"
  assert(io_of.init { directory = "." })
  local stats = require "splay.stats"
  local function open(name) return require(name).open("127.0.0.1", port) end

  methods("splay.events", "Lock:", events.lock())
  methods("splay.socket", "Tcp:", socket.tcp())
  methods("splay.socket", "Udp:", socket.udp())
  methods("ssl", "Tls:", assert(require("ssl").wrap(connection(), { verify = "none" })))
  methods("splay.journal", "Journal:", assert(require("splay.journal").open("journal")))
  local store = require("splay.objstore").open()
  methods("splay.objstore", "Store:", store)
  methods("splay.objstore", "Remote:", require("splay.objstore").connect(job.me))
  local nbd = require "splay.nbd"
  local disk = assert(nbd.serve(0, nbd.memory(512)))
  methods("splay.nbd", "Server:", disk)
  methods("splay.nbd", "Client:", assert(nbd.connect("127.0.0.1", disk.port)))
  methods("splay.stats", "Running:", stats.running())
  methods("splay.stats", "Histogram:", stats.histogram(0, 1))
  methods("splay.restricted_io", "File:", assert(io_of.open("file", "w")))
  methods("socket.tp", "Connection:", assert(require("socket.tp").connect("127.0.0.1", port)))
  methods("socket.ftp", "Connection:", open "socket.ftp")
  methods("socket.smtp", "Connection:", open "socket.smtp")
  methods("socket.http", "Connection:", open "socket.http")
  methods("splay.peer_sampling", "Sampling:", require("splay.peer_sampling").new { me = job.me })
  local etcd, patterns = require "splay.etcd", require "splay.etcd.patterns"
  local client = etcd.new()
  methods("splay.etcd", "Client:", client)
  methods("splay.etcd", "Server:", assert(etcd.serve(0)))
  methods("splay.etcd.patterns", "Line:", patterns.line(client, "/"))
  methods("splay.etcd.patterns", "Lock:", patterns.lock(client, "/"))
  methods("splay.etcd.patterns", "Election:", patterns.election(client, "/"))
  methods("splay.etcd.patterns", "Counter:", patterns.counter(client, "/"))
  methods("splay.etcd.patterns", "Registry:", patterns.registry(client, "/"))
  local history = require("splay.check").history("walk", "register")
  methods("splay.check", "History:", history)
  methods("splay.check", "Operation:", history:invoke("read"))
  methods("splay.queue", "splay.queue.", require("splay.queue").new())
  methods("crypto", "crypto.digest.", require("crypto").evp.new("md5"))
  methods("splay.log", "splay.log.Object.", log.new())

  for _, name in ipairs(keys(job)) do tell("globals", "job." .. name, job[name]) end
  for _, name in ipairs(keys(_G)) do tell("globals", name, _G[name]) end
  os.exit(0)
end)
