//! The attempts: name and program. Each must print `contained` and never `ESCAPED`.

/// Ways out of the sandbox.
pub const ATTEMPTS: &[(&str, &str)] = &[
    (
        "functions of os",
        r##"
        for _, name in ipairs { "execute", "getenv", "setlocale" } do check(os[name] == nil, name) end
        check(not pcall(function() os.execute("touch SECRET.touched") end))
        print("contained")
    "##,
    ),
    (
        "functions of io",
        r##"
        check(io.popen == nil, "popen") check(io.stdin == nil, "stdin")
        check(not pcall(function() io.popen("touch SECRET.touched") end))
        print("contained")
    "##,
    ),
    (
        "loading code",
        r##"
        check(load == nil, "load") check(loadfile == nil, "loadfile") check(dofile == nil, "dofile")
        check(loadstring("return 1 + 1")() == 2, "loadstring is kept")
        check(loadstring("return load or loadfile or dofile")() == nil, "env of loadstring")
        print("contained")
    "##,
    ),
    (
        "debug",
        r##"
        for name in pairs(debug) do check(name == "traceback", name) end
        check(require "debug" == debug, "require") check(debug.traceback("x"):find("^x"))
        print("contained")
    "##,
    ),
    (
        "package",
        r##"
        local kept = { loaded = true, preload = true, seeall = true }
        for name in pairs(package) do check(kept[name], name) end
        check(require "package" == package, "require")
        print("contained")
    "##,
    ),
    (
        "native modules",
        r##"
        refused("ffi", "jit", "jit.util", "jit.opt", "jit.bc", "splay.base_core", "splay.socket_core",
          "splay.events_core", "splay.rpc_core", "splay.sandbox_core", "splay.crypto_core",
          "splay.cjson_core", "splay.md5_core")
        check(jit == nil, "jit")
        print("contained")
    "##,
    ),
    (
        "parts of libraries",
        r##"
        refused("splay.prelude", "splay.sandbox", "splay.rpc_common", "splay.lazy", "splay.utils", "splay.socket_more",
          "splay.compat51", "splay.wrapped", "splay.misc_more")
        print("contained")
    "##,
    ),
    (
        "the namespace splay",
        r##"
        require "splay.base"
        for _, name in ipairs { "base_core", "socket_core", "sandbox", "utils", "lazy", "../secret" } do
          check(splay[name] == nil, name)
        end
        check(splay.rpc == require "splay.rpc")
        print("contained")
    "##,
    ),
    (
        "files by name",
        r##"
        for _, name in ipairs { "/etc/hostname", "SECRET", "../secret.lua", "/proc/self/environ", "pfs_index" } do
          check(io.open(name) == nil, name)
          check(not pcall(io.lines, name), "lines") check(not pcall(io.input, name), "input")
        end
        print("contained")
    "##,
    ),
    (
        "writing outside",
        r##"
        for _, name in ipairs { "SECRET", "../new", "a/../../new", "\0", "/dev/full", "x" } do
          local f = io.open(name, "w")
          f:write("ESCAPED") f:close()
          check(io.open(name):read("*a") == "ESCAPED", name)
        end
        print("contained")
    "##,
    ),
    (
        "removing and renaming",
        r##"
        for _, name in ipairs { "SECRET", "../secret.lua", "../app", "." } do
          check(not os.remove(name), name) check(not os.rename(name, "mine"), name)
          check(not io.remove(name), name)
        end
        io.open("mine", "w"):close()
        check(os.rename("mine", "SECRET"), "virtual rename")
        check(not os.tmpname():find("^/tmp/lua_"), "tmpname")
        print("contained")
    "##,
    ),
    (
        "a second init",
        r##"
        check(not io.init({ directory = "/tmp" }), "io")
        check(require "splay.restricted_io" == io, "the module is io itself")
        local restricted = require "splay.restricted_socket"
        check(restricted.init({}) == false, "socket")
        require "splay.base"
        check(select(4, socket.limits()) == 34100, "limits")
        print("contained")
    "##,
    ),
    (
        "module() on privileged tables",
        r##"
        for _, name in ipairs { "io", "os", "package", "ffi", "jit.util", "debug", "splay.base_core",
            "splay.socket_core", "splay.prelude", "_G" } do
          local function f() module(name) return getfenv(1) end
          local ok, env = pcall(f)
          if ok then
            for _, key in ipairs { "popen", "execute", "loadlib", "getregistry", "getinfo", "restrict",
                "request", "C", "loaders" } do
              check(rawget(env, key) == nil, name .. "." .. key)
            end
          end
        end
        print("contained")
    "##,
    ),
    (
        "bytecode",
        r##"
        local code = "\27LJ\2\10\0\0\0\0\1\0\0\0"
        for _, prefix in ipairs { "", "#!lua\n", "\239\187\191", "#\n", "\n" } do
          local f, why = loadstring(prefix .. code)
          check(f == nil and why, "prefix " .. #prefix)
        end
        check(string.dump == nil and ("").dump == nil, "dump")
        print("contained")
    "##,
    ),
    (
        "environments of library functions",
        r##"
        require "splay.base"
        local seen = {}
        local function visit(value)
          if seen[value] then return end
          if type(value) == "table" then
            seen[value] = true
            for k, v in pairs(value) do visit(k) visit(v) end
          elseif type(value) == "function" then
            seen[value] = true
            local env = getfenv(value)
            check(env == _G or next(env) == nil, "an environment")
          end
        end
        io.open("x", "w"):close()
        for _, name in ipairs { "rpc", "urpc", "rpcq", "net", "json", "benc", "llenc", "out", "bits" } do
          require("splay." .. name)
        end
        visit(_G) visit(package.loaded)
        check(getfenv(0) == _G and getfenv(1) == _G and getfenv(require) == _G)
        print("contained")
    "##,
    ),
    (
        "environments on the stack",
        r##"
        local function look()
          for level = 1, 12 do
            local ok, env = pcall(getfenv, level)
            if ok then check(env == _G or next(env) == nil, "level " .. level) end
          end
          return "name"
        end
        local name = setmetatable({}, { __tostring = look })
        io.remove(name) io.exists(name) tostring(name) print(name)
        table.sort({ 3, 2, 1 }, function(a, b) look() return a < b end);
        ("abc"):gsub(".", look)
        require "splay.base"
        misc.try(function() look() end, {})
        xpcall(error, look)
        print("contained")
    "##,
    ),
    (
        "what restricted io looks up",
        r##"
        local f = io.open("x", "w")
        local env = getfenv(io.open)
        setmetatable(env, { __index = function(_, key) print("ESCAPED: reads " .. tostring(key)) end,
          __newindex = function(_, key) print("ESCAPED: sets " .. tostring(key)) end })
        f:write("a\nb\n", 1) f:seek("set") f:flush() f:setvbuf("full") f:size() f:close()
        for _ in io.lines("x") do end
        for _ in io.open("x"):lines() do end
        io.output("y") io.write("z") io.flush() io.close() io.input("x") io.read("*a")
        io.rename("x", "w") io.remove("w") io.tmpfile():write("x") io.infos() io.stats() io.limits()
        io.list() io.type(f) io.init({}) pcall(io.open, {}) io.open("q", "bad") io.clean()
        for n = 1, 20 do io.open("n" .. n, "w") end
        print("contained")
    "##,
    ),
    (
        "hijacked globals while files are loaded",
        r##"
        local stolen = {}
        local select, type, pairs, rawget = select, type, pairs, rawget
        local function hijack(t)
          for name, f in pairs(t) do
            if type(f) == "function" then
              t[name] = function(...)
                for n = 1, select("#", ...) do stolen[#stolen + 1] = (select(n, ...)) end
                return f(...)
              end
            end
          end
        end
        for _, t in pairs { string, table, os, coroutine, debug } do hijack(t) end
        hijack(_G)
        local f = io.open("x", "w")
        f:write("x") f:close() io.stats() io.list() os.remove("x") tostring(io.stdout) io.write("-\n")
        for _, value in pairs(stolen) do
          check(type(value) ~= "userdata", "a handle")
          if type(value) == "table" and value ~= _G then
            check(not (rawget(value, "popen") or rawget(value, "handle") or rawget(value, "real")), "a table")
          end
        end
        print("contained")
    "##,
    ),
    (
        "hijacked globals while libraries are loaded",
        r##"
        local stolen, real = {}, {}
        for name, f in pairs(_G) do if type(f) == "function" then real[name] = f end end
        for name, f in pairs(real) do
          if name ~= "getfenv" and name ~= "setfenv" and name ~= "module" then
            _G[name] = function(...)
              for n = 1, real.select("#", ...) do stolen[#stolen + 1] = (real.select(n, ...)) end
              return f(...)
            end
          end
        end
        for _, name in real.ipairs { "base", "rpc", "net", "json", "benc", "out", "test", "data_bits" } do
          real.require("splay." .. name)
        end
        splay.bits.init({}, 8)
        for _, value in real.pairs(stolen) do
          if real.type(value) == "table" and value ~= _G then
            for _, key in real.ipairs { "popen", "loadlib", "restrict", "request", "getinfo" } do
              check(real.rawget(value, key) == nil, key)
            end
          elseif real.type(value) == "function" then
            -- The libraries' own require would open what the program's refuses.
            local ok, module = real.pcall(value, "splay.socket_core")
            check(not (ok and real.type(module) == "table" and real.rawget(module, "restrict")), "require")
          end
        end
        print = real.print
        print("contained")
    "##,
    ),
    (
        "standard streams",
        r##"
        local stolen
        local show = tostring
        tostring = function(v) if type(v) == "userdata" then stolen = v end return show(v) end
        show(io.stdout) show(io.stderr) print(io.stdout)
        check(stolen == nil, "the process's stream")
        check(getmetatable(io.stdout) == false and getmetatable(io) == false, "metatables")
        check(not io.stdout:close(), "close") io.stderr:write("")
        print("contained")
    "##,
    ),
    (
        "everything that can be reached",
        r##"
        require "splay.base"
        for _, name in ipairs { "rpc", "urpc", "rpcq", "net", "json", "benc", "llenc", "out", "bits", "queue",
            "data_bits", "restricted_socket", "restricted_io", "test", "log" } do require("splay." .. name) end
        for _, name in ipairs { "crypto", "cjson", "json", "base64", "socket", "bit" } do require(name) end
        local file, s = io.open("x", "w"), socket.tcp()
        local bad = { popen = true, execute = true, loadlib = true, getregistry = true, getinfo = true,
          loaders = true, searchers = true, cpath = true, restrict = true, request = true, dump = true,
          sethook = true, upvalueid = true, newproxy = true, load = true, loadfile = true, dofile = true }
        local seen = {}
        local function visit(value, path)
          local kind = type(value)
          if kind == "string" or kind == "number" or kind == "boolean" or seen[value] then return end
          seen[value] = true
          check(not show or kind ~= "userdata" or tostring(value):find("^#SE"), path)
          local meta = getmetatable(value)
          if meta ~= nil then visit(meta, path .. "~") end
          if kind == "function" then visit(getfenv(value), path .. "()") end
          if kind ~= "table" then return end
          for k, v in next, value do
            check(not (bad[k] and v), path .. "." .. tostring(k))
            visit(k, path .. ".key") visit(v, path .. "." .. tostring(k))
          end
        end
        for _, v in ipairs { _G, file, s, "", coroutine.create(print), print } do visit(v, "") end
        check(seen[socket.connect], "visited the libraries")
        s:close()
        print("contained")
    "##,
    ),
    (
        "poisoned caches",
        r##"
        package.loaded["splay.log"] = { new = function() error("ESCAPED: poisoned") end }
        package.preload["splay.misc_core"] = function() error("ESCAPED: preload") end
        string.dump = function() return "ESCAPED" end
        local plain = string.gsub
        string.gsub, string.format, string.find = nil, nil, nil
        local queue, bits, misc = require "splay.queue", require "splay.bits", require "splay.misc"
        check(require "splay.log" == package.loaded["splay.log"])
        package.loaded["splay.queue"] = nil
        check(require "splay.queue" == queue)
        print("contained")
    "##,
    ),
    (
        "metatables",
        r##"
        check(getmetatable(coroutine.create(print)) == false, "threads")
        check(not pcall(setmetatable, io, {}), "io")
        require "splay.base"
        local s = socket.tcp()
        check(type(getmetatable(s)) == "string", "sockets")
        check(not pcall(setmetatable, s, {}), "set on a socket")
        local f = io.open("x", "w")
        check(getmetatable(f) == "FILE*", "files") check(not pcall(setmetatable, f, {}), "set on a file")
        check(not pcall(f.write, {}, "x") and not pcall(f.write, s, "x"), "another self")
        check(not pcall(s.send, f, "x") and not pcall(s.close, {}) and not pcall(s.close), "self of sockets")
        check(not pcall(s.setfd, s, 1), "descriptors of the process") check(s:getfd() == -1)
        check(newproxy == nil)
        s:close()
        print("contained")
    "##,
    ),
    (
        "the metatable of strings",
        r##"
        local meta = getmetatable("")
        meta.__index = function() return function() return "spoilt" end end
        meta.__tostring = function() error("no") end
        meta.__gc, meta.__call, meta.__eq, meta.__concat = print, print, print, print
        check(("x"):upper() == "spoilt")
        print("contained")
    "##,
    ),
    (
        "a spoilt global table",
        r##"
        local print, error, setmetatable = print, error, setmetatable
        print("contained")
        local events = require "splay.events"
        events.thread(function() error(setmetatable({}, { __tostring = function() error("twice") end })) end)
        events.thread(function() error({}) end)
        events.thread(function() error() end)
        setmetatable(_G, { __index = function() error("no globals") end, __newindex = function() error("none") end })
        for name in pairs(_G) do if name ~= "_G" then _G[name] = nil end end
        error(setmetatable({}, { __tostring = function() return 1 end }))
    "##,
    ),
    (
        "the thread's environment",
        r##"
        setfenv(0, { tostring = function() error("mine") end, package = { path = "/etc/?" } })
        check(not pcall(print, {}), "print uses the thread's environment")
        refused("hostname")
        setfenv(0, setmetatable({}, { __index = function() error("no") end }))
        check(pcall(print, "-"))
        setfenv(0, _G)
        print("contained")
    "##,
    ),
    (
        "coroutines of the scheduler",
        r##"
        local events = require "splay.events"
        events.run(function()
          local co
          events.thread(function()
            co = coroutine.running()
            events.sleep(0.01) events.wait("never", 0.02) events.yield()
          end)
          events.yield()
          for _ = 1, 50 do
            if co then coroutine.resume(co, "junk", 1, nil) coroutine.status(co) end
            events.sleep(0.001)
          end
          local wrapped = coroutine.wrap(function() while true do coroutine.yield(coroutine.running()) end end)
          local inner = wrapped()
          events.thread(function() coroutine.resume(inner) wrapped() end)
          pcall(coroutine.resume, coroutine.running())
          events.thread(coroutine.wrap(function() events.sleep(0.001) end))
          events.sleep(0.01)
          print("contained")
        end)
    "##,
    ),
    (
        "yielding where nobody expects it",
        r##"
        local events = require "splay.events"
        events.run(function()
          for _, f in ipairs {
            function() table.sort({ 3, 2, 1 }, function() events.sleep(0) end) end,
            function() ("x"):gsub("x", function() events.sleep(0) end) end,
            function() print(setmetatable({}, { __tostring = function() events.sleep(0) end })) end,
            function() require("x", events.sleep(0)) end,
            function() coroutine.wrap(function() return events.wait("e", 0.001) end)() end,
            function() coroutine.yield(coroutine.yield) end,
          } do pcall(f) end
          print("contained")
        end)
    "##,
    ),
    (
        "ports",
        r##"
        require "splay.base"
        local rpc, urpc, rpcq = require "splay.rpc", require "splay.urpc", require "splay.rpcq"
        check(socket.bind("127.0.0.1", 33999) == nil, "below")
        check(select(2, socket.bind("*", 34200)) == "restricted", "above")
        check(select(2, socket.bind("*", 0)) == "restricted", "any")
        check(select(2, socket.tcp():listen()) == "restricted", "listening without bind")
        check(not rpc.server(33999), "rpc") check(not rpcq.server(33999), "rpcq") check(not rpc.server(0), "0")
        local ok = pcall(function() return assert(rpc.server(34100)) end)
        check(ok, "a permitted port")
        rpc.stop_server(34100)
        print("contained")
    "##,
    ),
    (
        "forbidden hosts",
        r##"
        require "splay.base"
        local rpc, urpc, rpcq = require "splay.rpc", require "splay.urpc", require "splay.rpcq"
        events.run(function()
          for _, host in ipairs { "127.0.0.2", "::ffff:127.0.0.2", "::ffff:7f00:2", "127.0.2", "2130706434",
              "0x7f000002", "a.forbidden.example", "A.FORBIDDEN.example" } do
            for name, try in pairs {
              connect = function() return socket.connect(host, 9) end,
              sendto = function() return socket.udp():sendto("x", host, 9) end,
              peer = function() return socket.udp():setpeername(host, 9) end,
              rpc = function() return rpc.call({ ip = host, port = 9 }, "x", 1) end,
              urpc = function() return urpc.call({ ip = host, port = 9 }, "x", 0.5) end,
              rpcq = function() return rpcq.call({ ip = host, port = 9 }, "x", 0.5) end,
            } do
              local value, why = try()
              check(value == nil and (why == "restricted" or why:find("host or service") or
                why:find("family")), name .. " " .. host .. " " .. tostring(why))
            end
            collectgarbage()
          end
          print("contained")
        end)
    "##,
    ),
    (
        "remote callers",
        r##"
        require "splay.base"
        local rpc = require "splay.rpc"
        events.run(function()
          assert(rpc.server(34101))
          for _, name in ipairs { "io.open", "require", "loadstring", "setfenv", "module", "package.loaded",
              "os.remove", "_G.print", "getfenv" } do
            check(rpc.call({ ip = "127.0.0.1", port = 34101 }, { name, "x" }) == nil, name)
          end
          rpc.stop_server(34101)
          print("contained")
        end)
    "##,
    ),
    (
        "ending the process",
        r##"
        print("contained")
        pcall(os.exit, 1)
        pcall(function() os.exit(true, true) end)
        while true do end
    "##,
    ),
];

/// Attempts to use up what is shared.
pub const EXHAUSTING: &[(&str, &str)] = &[
    (
        "disk",
        r##"
        local f = io.open("big", "w")
        local block, ok, why = ("x"):rep(9000)
        repeat ok, why = f:write(block) until not ok
        check(why == "No disk space" and f:size() <= 100000, "write")
        f:seek("set", 2 ^ 40)
        check(not f:write("x"), "a hole") check(not io.open("other", "a"):write(block, block), "append")
        f:close() io.remove("big")
        local g = io.open("big2", "w")
        check(g:write(block), "space comes back")
        local files = 0
        for n = 1, 100 do
          local h = io.open("n" .. n, "w")
          if h then files = files + 1 h:close() end
        end
        check(files < 20, "number of files")
        print("contained")
    "##,
    ),
    (
        "descriptors",
        r##"
        local open = {}
        for n = 1, 100 do open[n] = io.open("same", "a") end
        check(#open == 10, "files: " .. #open)
        require "splay.base"
        local tcp, udp = {}, {}
        for n = 1, 100 do tcp[#tcp + 1] = socket.tcp() udp[#udp + 1] = socket.udp() end
        check(#tcp == 20 and #udp == 20, "sockets")
        check(not require("splay.rpc").server(34102), "a server beyond the number")
        print("contained")
    "##,
    ),
    (
        "bytes on the network",
        r##"
        require "splay.base"
        local urpc, rpc = require "splay.urpc", require "splay.rpc"
        function echo(s) return s end
        events.run(function()
          assert(rpc.server(34103))
          local me, done = { ip = "127.0.0.1", port = 34103 }, 0
          local block = ("x"):rep(4000)
          for n = 1, 30 do if rpc.call(me, { "echo", block }, 0.3) then done = done + 1 end end
          local sent, received = socket.stats()
          check(sent <= 50000 and received <= 60000, "sent " .. sent .. " received " .. received)
          check(done > 0 and done < 10, "calls " .. done)
          local u = socket.udp()
          check(select(2, u:sendto(block, "127.0.0.1", 9)) == "restricted", "udp")
          print("contained")
          os.exit(0)
        end)
    "##,
    ),
    (
        "memory of tables",
        r##"
        print("contained")
        local hog = {}
        check(not pcall(function() while true do hog[#hog + 1] = ("x"):rep(1e5) .. #hog end end), "tables")
        check(collectgarbage("count") < 21 * 1024, "count")
    "##,
    ),
    (
        "memory of strings",
        r##"
        check(not pcall(string.rep, "x", 1e9), "rep")
        check(not pcall(function() local s = "x" while true do s = s .. s end end), "strings")
        print("contained")
    "##,
    ),
    (
        "memory of coroutines",
        r##"
        print("contained")
        check(not pcall(function() local c = {} while true do c[#c + 1] = coroutine.create(print) end end))
    "##,
    ),
    (
        "memory without a collector",
        r##"
        print("contained")
        collectgarbage("stop")
        while true do local t = { {} } end
    "##,
    ),
    (
        "endless loops",
        r##"
        print("contained")
        local events = require "splay.events"
        events.thread(function() while true do end end)
        events.thread(function() while true do pcall(function() while true do end end) end end)
        events.thread(function() for _ in function() return 1 end do end end)
        events.thread(function() local t = setmetatable({}, {}) getmetatable(t).__index = t local x = t.x end)
        events.thread(function() coroutine.wrap(function() while true do pcall(error) end end)() end)
    "##,
    ),
    (
        "recursion in Lua",
        r##"
        local function f() return f() + 1 end
        check(not pcall(f))
        local t = setmetatable({}, {})
        getmetatable(t).__index = function(t, k) return t[k .. "x"] end
        check(not pcall(function() return t.x end))
        print("contained")
    "##,
    ),
    (
        "recursion through native functions",
        r##"
        local t = setmetatable({}, { __tostring = function(t) print(t) return "x" end })
        check(not pcall(print, t), "print")
        local f = setmetatable({}, { __tostring = function(t) return ("%s"):format(t) end })
        check(not pcall(tostring, f), "format")
        local function gsub() return (("x"):gsub("x", gsub)) end
        check(not pcall(gsub), "gsub")
        local function sort() table.sort({ 2, 1 }, sort) end
        check(not pcall(sort), "sort")
        local time = setmetatable({}, { __index = function(t) return os.time(t) end })
        check(not pcall(os.time, time), "time")
        package.preload.me = function() package.loaded.me = nil return require "me" end
        check(not pcall(require, "me"), "require")
        require "splay.base"
        local node = setmetatable({}, { __index = function(t) return socket.connect(t) end })
        check(not pcall(socket.connect, node), "socket")
        print("contained")
    "##,
    ),
    (
        "recursion through handlers",
        r##"
        local function nest() pcall(nest) end
        nest()
        local function handler() return xpcall(error, handler) end
        xpcall(error, handler)
        print("contained")
    "##,
    ),
    (
        "deep data at the bottom of the stack",
        r##"
        local json, benc = require "cjson", require "splay.benc"
        local deep = {}
        for _ = 1, 990 do deep = { deep } end
        local text = json.encode(deep)
        local code = ("("):rep(150) .. "1" .. (")"):rep(150)
        local function at_bottom(f, ...)
          local arguments, level = { ... }, 0
          local function down()
            level = level + 1
            if level > 30 and level % 4 == 0 then pcall(f, unpack(arguments)) end
            return (("x"):gsub("x", down))
          end
          check(not pcall(down))
        end
        at_bottom(json.encode, deep) at_bottom(json.decode, text)
        at_bottom(benc.encode, deep) at_bottom(benc.decode, ("l"):rep(128))
        at_bottom(loadstring, "return " .. code)
        at_bottom(string.match, ("a"):rep(300), ("(a)"):rep(30) .. "x")
        print("contained")
    "##,
    ),
    (
        "deep data",
        r##"
        local json, benc = require "cjson", require "splay.benc"
        local deep = {}
        for _ = 1, 1e5 do deep = { deep } end
        check(not pcall(json.encode, deep), "json")
        check(not pcall(json.decode, ("["):rep(1e5)), "json decode")
        pcall(benc.encode, deep) pcall(benc.decode, ("l"):rep(1e5))
        check(not loadstring("return " .. ("("):rep(1e4) .. "1" .. (")"):rep(1e4)), "parser")
        check(not loadstring(("do "):rep(1e4)), "blocks")
        print("contained")
    "##,
    ),
    (
        "patterns",
        r##"
        check(not pcall(string.find, ("a"):rep(40), ("(a"):rep(40)), "captures")
        pcall(string.match, ("a"):rep(1e4), ".-b")
        print("contained")
    "##,
    ),
    (
        "nested coroutines",
        r##"
        local depth = 0
        local function nest() depth = depth + 1 return coroutine.wrap(nest)() end
        pcall(nest)
        check(depth > 10, "depth")
        local function resume() return coroutine.resume(coroutine.create(resume)) end
        pcall(resume)
        print("contained")
    "##,
    ),
    (
        "unfinished lines",
        r##"
        local block = ("x"):rep(1e6)
        for _ = 1, 100 do io.write(block) end
        io.write("\n")
        print("contained")
    "##,
    ),
    (
        "threads and timers",
        r##"
        local events = require "splay.events"
        pcall(function() for n = 1, 1e6 do events.thread(function() events.sleep(1e9) end) end end)
        print("contained")
        os.exit(0)
    "##,
    ),
];
