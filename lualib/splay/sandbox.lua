--- Confines an instance before its program runs: takes away what reaches the machine, puts
--- restricted versions in its place. Run after `splay.prelude`, in the sandbox only; programs
--- cannot require it. What stays is listed in docs/reference/sandbox.md.
--
-- The program shares its globals with the libraries and may change all of them, also by `setfenv`
-- on any function it gets hold of. So nothing here (and in `splay.restricted_io`) looks up a global
-- after the program has begun, and real files, the libraries' `require` and the real `package` live
-- in locals alone.

local core = require "splay.sandbox_core"
local write = require("splay.base_core").write
local G = _G
local type, error, pairs, rawget = type, error, pairs, rawget
local tostring, setfenv, setmetatable, gmatch = tostring, setfenv, setmetatable, string.gmatch
local real_io, real_os, real_package, traceback = io, os, package, debug.traceback

-- Files --------------------------------------------------------------------------------------

-- What splay.restricted_io takes from its globals while it is loaded, which is when the program
-- uses a file for the first time and may have changed them.
local pristine = {
  require = require, type = type, tostring = tostring, pairs = pairs, ipairs = ipairs,
  select = select, error = error, setmetatable = setmetatable, getmetatable = getmetatable,
  unpack = unpack, collectgarbage = collectgarbage,
  string = {
    find = string.find, sub = string.sub, gsub = string.gsub, match = string.match,
    format = string.format,
  },
  table = { sort = table.sort },
  os = { remove = real_os.remove, rename = real_os.rename },
  io = {
    open = real_io.open, stdout = real_io.stdout, stderr = real_io.stderr,
    type = function(value)
      return (value == real_io.stdout or value == real_io.stderr) and "file" or nil
    end,
  },
}

local stdout = real_io.stdout
local io = { stdout = stdout, stderr = real_io.stderr }

function io.write(...) return stdout:write(...) end

local first_write = io.write
local lazy = { __metatable = false }
local files

-- The functions of `io` are there when the first one is asked for.
local function restricted()
  if files then return files end
  files = setfenv(core.chunk "splay.restricted_io", pristine)(require)
  -- Its functions must not lead the program to what it was loaded with.
  for name in pairs(pristine) do pristine[name] = nil end
  files.init(core.settings())
  if rawget(io, "write") == first_write then io.write = nil end
  for name, value in pairs(files) do
    if rawget(io, name) == nil then io[name] = value end
  end
  lazy.__index = nil
  return files
end

function lazy.__index(_, name)
  if files then return nil end
  restricted()
  return rawget(io, name)
end

setmetatable(io, lazy)

local os = {
  clock = real_os.clock, date = real_os.date, difftime = real_os.difftime, exit = real_os.exit,
  time = real_os.time,
  remove = function(name) return restricted().remove(name) end,
  rename = function(old, new) return restricted().rename(old, new) end,
  tmpname = function() return restricted().tmpname() end,
}

-- Globals ------------------------------------------------------------------------------------

local kept = " _G _VERSION arg job print assert collectgarbage error gcinfo getfenv"
  .. " getmetatable ipairs loadstring next pairs pcall rawequal rawget rawset select setfenv"
  .. " setmetatable tonumber tostring type unpack xpcall string table math coroutine bit "
for name in pairs(G) do
  if not kept:find(" " .. name .. " ", 1, true) then G[name] = nil end
end
string.dump = nil
G.io, G.os, G.debug = io, os, { traceback = traceback }

-- Modules ------------------------------------------------------------------------------------

local loaded, preload = {}, {}
G.package = { loaded = loaded, preload = preload, seeall = real_package.seeall }
for _, name in pairs { "_G", "string", "table", "math", "coroutine", "bit", "io", "os", "debug",
  "package" } do
  loaded[name] = G[name]
end
loaded["splay.restricted_io"] = io

-- The libraries' `require` has no other way to files and functions than the program.
local private = real_package.loaded
for name in pairs(private) do
  if not name:find("^splay%.") then private[name] = loaded[name] end
end

local LOADING = {}

--- As Lua's, for the libraries of SPLAY, `package.preload`, the modules beside the program and
--- the native libraries of the job.
---
--- `require "ffi"  --> nil, "not permitted"`
---@param name string
---@return any module nil, "not permitted"
---@return string? reason
function G.require(name)
  if type(name) ~= "string" then
    error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
  end
  local module = rawget(loaded, name)
  if module == LOADING then
    error("loop or previous error loading module '" .. name .. "'", 2)
  elseif module then
    return module
  end
  local loader, reason = rawget(preload, name), nil
  if not loader then
    if core.permits(name) then
      module = require(name)
      loaded[name] = module
      return module
    end
    loader, reason = core.own(name)
    if not loader and not reason then loader, reason = core.native(name) end
    if reason then error("error loading module '" .. name .. "':\n\t" .. reason, 2) end
    if not loader then
      write(1, "[splay.sandbox] W: Require of " .. name .. " refused\n")
      return nil, "not permitted"
    end
  end
  loaded[name] = LOADING
  module = loader(name)
  if module ~= nil then
    loaded[name] = module
  elseif rawget(loaded, name) == LOADING then
    loaded[name] = true
  end
  return loaded[name]
end

-- A global table of that name, tables on the way made as needed; nil if something else is there.
local function global_table(name)
  local t = G
  for part in gmatch(name, "[^.]+") do
    local inner = rawget(t, part)
    if inner == nil then
      inner = {}
      t[part] = inner
    elseif type(inner) ~= "table" then
      return nil
    end
    t = inner
  end
  return t
end

--- As Lua's: makes a module of the program and sets it as the environment of the caller.
---@param name string
---@param ... fun(module: table) for example `package.seeall`
function G.module(name, ...)
  if type(name) ~= "string" then
    error("bad argument #1 to 'module' (string expected, got " .. type(name) .. ")", 2)
  end
  local module = rawget(loaded, name)
  if type(module) ~= "table" or module == LOADING then
    module = global_table(name)
    if not module then error("name conflict for module '" .. name .. "'", 2) end
    loaded[name] = module
  end
  if module._NAME == nil then
    module._M, module._NAME = module, name
    module._PACKAGE = name:match("^(.*%.)[^.]*$") or ""
  end
  setfenv(2, module)
  for _, option in pairs { ... } do option(module) end
end
