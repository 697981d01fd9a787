-- What scripts and hooks find beside the standard library: `S`, in the manner of ljsyscall, and its
-- names as globals under their C names. `native` are the calls; each of them works on the socket
-- that a hook was called with, and nothing else.
local native, constants, G = ...

local S = { c = { E = {} }, types = { t = {}, pt = {}, s = {}, mt = {} } }
local t, pt, mt = S.types.t, S.types.pt, S.types.mt

-- Constants: SO_REUSEPORT is S.c.SO.REUSEPORT as well.
local error_names = {}
for name, value in pairs(constants) do
  local group, rest = name:match("^(%u[%u%d]*)_(.+)$")
  if group then
    S.c[group] = S.c[group] or {}
    S.c[group][rest] = value
  elseif name:match("^E%u") then
    S.c.E[name:sub(2)] = value
    error_names[value] = name
  end
end
S.c.SCM = S.c.SCM or {}

-- Errors: values with a text, a number and their names: err.errno, err.EAGAIN, err.AGAIN.
mt.error = {
  __tostring = function(err) return native.strerror(err.errno) end,
  __index = function(err, name)
    if name == "sym" then return error_names[err.errno] end
    if type(name) ~= "string" then return nil end
    local number = constants[name] or S.c.E[name:upper()]
    return number ~= nil and number == err.errno or nil
  end,
  __eq = function(a, b) return a.errno == b.errno end,
}
function t.error(errno) return setmetatable({ errno = errno }, mt.error) end
local errors = setmetatable({}, { __index = function(made, errno)
  local err = t.error(errno)
  made[errno] = err
  return err
end })

--- A native answer of nil and a number becomes nil and an error.
local function checked(value, errno, ...)
  if value == nil then return nil, errors[errno] end
  return value, errno, ...
end

-- Numbers in memory ------------------------------------------------------------------------------

local function reader(kind, size)
  mt[kind .. "_ptr"] = {
    __index = function(pointer, index)
      if type(index) ~= "number" then return nil end
      return native.number(pointer.bytes, index * size, kind)
    end,
    __len = function(pointer) return math.floor(#pointer.bytes / size) end,
  }
  pt[kind] = function(data)
    local bytes = type(data) == "table" and rawget(data, "bytes") or data
    return setmetatable({ bytes = bytes }, mt[kind .. "_ptr"])
  end
  t[kind .. "_ptr"] = pt[kind]
end
for kind, size in pairs { int8 = 1, uint8 = 1, int16 = 2, uint16 = 2, int32 = 4, uint32 = 4,
  int64 = 8, uint64 = 8 } do
  reader(kind, size)
  reader(kind .. "_t", size)
end
reader("int", 4)
reader("uint", 4)
reader("char", 1)
mt.data = {
  __tostring = function(data) return data.bytes end,
  __len = function(data) return #data.bytes end,
}

local function number(data, at, kind) return native.number(data, at, kind) or 0 end

-- Times and small structures ---------------------------------------------------------------------

local time_names = {
  timespec = { sec = "tv_sec", nsec = "tv_nsec" },
  timeval = { sec = "tv_sec", usec = "tv_usec" },
}
for kind, names in pairs(time_names) do
  local fraction = kind == "timespec" and "tv_nsec" or "tv_usec"
  local parts = kind == "timespec" and 1e9 or 1e6
  mt[kind] = {
    __index = function(time, name)
      if name == "time" then return time.tv_sec + time[fraction] / parts end
      return names[name] and rawget(time, names[name])
    end,
    __bytes = function(time)
      return native.pack("int64", time.tv_sec) .. native.pack("int64", time[fraction])
    end,
  }
  t[kind] = function(sec, rest)
    if type(sec) == "table" then sec, rest = sec[1] or sec.tv_sec, sec[2] or sec[fraction] end
    sec = sec or 0
    if rest == nil then sec, rest = math.floor(sec), (sec % 1) * parts end
    return setmetatable({ tv_sec = sec, [fraction] = math.floor(rest) }, mt[kind])
  end
  pt[kind] = function(data)
    local bytes = data.bytes
    return t[kind](number(bytes, 0, "int64"), number(bytes, 8, "int64"))
  end
end

mt.linger = {
  __bytes = function(linger)
    return native.pack("int32", linger.l_onoff) .. native.pack("int32", linger.l_linger)
  end,
}
function t.linger(on, seconds)
  if type(on) == "table" then on, seconds = on.l_onoff or on[1], on.l_linger or on[2] end
  if type(on) == "boolean" then on = on and 1 or 0 end
  return setmetatable({ l_onoff = on or 0, l_linger = seconds or 0 }, mt.linger)
end

function pt.scm_timestamping(data)
  local ts = {}
  for n = 0, 2 do
    ts[n] = t.timespec(number(data.bytes, n * 16, "int64"), number(data.bytes, n * 16 + 8, "int64"))
  end
  return { ts = ts }
end

local extended = {
  { "ee_errno", "uint32", 0 }, { "ee_origin", "uint8", 4 }, { "ee_type", "uint8", 5 },
  { "ee_code", "uint8", 6 }, { "ee_pad", "uint8", 7 }, { "ee_info", "uint32", 8 },
  { "ee_data", "uint32", 12 },
}
function pt.sock_extended_err(data)
  local record = {}
  for _, field in ipairs(extended) do record[field[1]] = number(data.bytes, field[3], field[2]) end
  return record
end

-- Classic BPF: a filter of four numbers, programs as arrays of filters.
mt.sock_filter = {
  __bytes = function(filter)
    return native.pack("uint16", filter.code) .. native.pack("uint8", filter.jt)
      .. native.pack("uint8", filter.jf) .. native.pack("uint32", filter.k)
  end,
}
function t.sock_filter(code, jt, jf, k)
  if type(code) == "table" then
    local given = code
    code, jt = given.code or given[1], given.jt or given[2]
    jf, k = given.jf or given[3], given.k or given[4]
  end
  return setmetatable({ code = code or 0, jt = jt or 0, jf = jf or 0, k = k or 0 }, mt.sock_filter)
end
mt.sock_fprog = { __is_program = true, __bytes = function(program)
  local bytes = {}
  for n, filter in ipairs(program) do bytes[n] = mt.sock_filter.__bytes(filter) end
  return table.concat(bytes)
end }
function t.sock_fprog(filters)
  local program = {}
  for n, filter in ipairs(filters) do program[n] = t.sock_filter(filter) end
  return setmetatable(program, mt.sock_fprog)
end
t.sock_filters, t.sock_fprog1 = t.sock_fprog, t.sock_fprog

-- Addresses --------------------------------------------------------------------------------------

mt.in_addr = {
  __tostring = function(addr) return native.address_text(native.pack("uint32", addr.s_addr)) end,
  __eq = function(a, b) return a.s_addr == b.s_addr end,
}
function t.in_addr(text)
  if type(text) == "number" then return setmetatable({ s_addr = text }, mt.in_addr) end
  if type(text) == "table" then return setmetatable({ s_addr = text.s_addr }, mt.in_addr) end
  local bytes = native.address(text or "0.0.0.0")
  if not bytes or #bytes ~= 4 then return nil end
  return setmetatable({ s_addr = number(bytes, 0, "uint32") }, mt.in_addr)
end

mt.in6_addr = {
  __tostring = function(addr) return native.address_text(addr.s6_addr) end,
  __eq = function(a, b) return a.s6_addr == b.s6_addr end,
}
function t.in6_addr(text)
  if type(text) == "table" then return setmetatable({ s6_addr = text.s6_addr }, mt.in6_addr) end
  local bytes = native.address(text or "::")
  if not bytes or #bytes ~= 16 then return nil end
  return setmetatable({ s6_addr = bytes }, mt.in6_addr)
end

local function swapped(port) return math.floor(port / 256) + port % 256 * 256 end
local function shown(name)
  return function(address)
    local text = tostring(address[name .. "_addr"])
    if address.family == constants.AF_INET6 then text = "[" .. text .. "]" end
    return text .. ":" .. address.port
  end
end
-- The fields are sin_family and so on; family, port (as people write it) and addr are read of them.
local function address_metatable(prefix)
  return {
    __index = function(address, name)
      if name == "family" then return rawget(address, prefix .. "_family") end
      if name == "addr" then return rawget(address, prefix .. "_addr") end
      if name == "port" then return swapped(rawget(address, prefix .. "_port")) end
    end,
    __tostring = shown(prefix),
  }
end
mt.sockaddr_in, mt.sockaddr_in6 = address_metatable("sin"), address_metatable("sin6")

function t.sockaddr_in(port, addr)
  if type(addr) == "string" then addr = t.in_addr(addr) end
  return setmetatable({ sin_family = constants.AF_INET, sin_port = swapped(port or 0),
    sin_addr = addr or t.in_addr("0.0.0.0") }, mt.sockaddr_in)
end
function t.sockaddr_in6(port, addr, flowinfo, scope)
  if type(addr) == "string" then addr = t.in6_addr(addr) end
  return setmetatable({ sin6_family = constants.AF_INET6, sin6_port = swapped(port or 0),
    sin6_addr = addr or t.in6_addr("::"), sin6_flowinfo = flowinfo or 0,
    sin6_scope_id = scope or 0 }, mt.sockaddr_in6)
end

--- An address of bytes and a port, written into `into` if that is one.
local function fill(bytes, port, into)
  local made
  if not bytes then return into end
  if #bytes == 4 then
    made = t.sockaddr_in(port, t.in_addr(number(bytes, 0, "uint32")))
  else
    made = t.sockaddr_in6(port)
    made.sin6_addr.s6_addr = bytes
  end
  if type(into) ~= "table" then return made end
  for name in pairs(into) do into[name] = nil end
  for name, value in pairs(made) do into[name] = value end
  return setmetatable(into, getmetatable(made))
end

local function taken_apart(address)
  if address == nil then return nil end
  if address.sin_addr then return native.pack("uint32", address.sin_addr.s_addr), address.port end
  return address.sin6_addr.s6_addr, address.port
end

--- The `struct addrinfo` of a hook.
mt.addrinfo = {}
function native.addrinfo(flags, family, socktype, protocol, bytes, port, name)
  local address = fill(bytes, port)
  address.sa_family = family
  return setmetatable({
    ai_flags = flags, ai_family = family, ai_socktype = socktype, ai_protocol = protocol,
    ai_addrlen = family == constants.AF_INET and 16 or 28, ai_addr = address, ai_canonname = name,
  }, mt.addrinfo)
end

-- Messages ---------------------------------------------------------------------------------------

-- The buffer of the message that a hook was called with. It is not seen from Lua, only passed on.
local buffer = setmetatable({}, { __tostring = function() return "buffer" end })

local function cmsg_at(at)
  local length, level, kind, data = native.cmsg(at)
  if not length then return nil end
  return { cmsg_len = length, cmsg_level = level, cmsg_type = kind, at = at,
    cmsg_data = setmetatable({ bytes = data }, mt.data) }
end

local methods = {}
function methods.cmsg_firsthdr(_) return cmsg_at(0) end
--- The next control message.
function methods.cmsg_nxthdr(_, cmsg) return cmsg_at(cmsg.at + math.ceil(cmsg.cmsg_len / 8) * 8) end
--- Iterates over the control messages; each is given twice: `for cmsg in` and `for _, cmsg in`.
function methods.cmsgs(msg)
  local cmsg
  return function()
    if cmsg then cmsg = msg:cmsg_nxthdr(cmsg) else cmsg = msg:cmsg_firsthdr() end
    return cmsg, cmsg
  end
end

local iov = setmetatable({}, {
  __index = function(_, name)
    if name == "iov_base" then return buffer end
    if name == "iov_len" then return (native.message()) end
  end,
})
local msg_iov = setmetatable({}, {
  __index = function(_, index)
    if index == 0 then return iov end
    return iov[index]
  end,
})
-- The message of the hook that runs; there is one for all of them.
mt.msghdr = {
  __index = function(_, name)
    if name == "msg_iov" then return msg_iov end
    if name == "msg_iovlen" then return 1 end
    if methods[name] then return methods[name] end
    local length, control, flags, bytes, port = native.message()
    if name == "msg_controllen" then return control end
    if name == "msg_control" then
      if not control or control == 0 then return nil end
      return setmetatable({ bytes = native.control() }, mt.data)
    end
    if name == "msg_flags" then return flags end
    if name == "msg_name" then return bytes and fill(bytes, port) or nil end
    if name == "msg_namelen" then return bytes and (#bytes == 4 and 16 or 28) or 0 end
    return nil, length
  end,
  __tostring = function() return "struct msghdr" end,
}
local msg = setmetatable({}, mt.msghdr)

-- Calls ------------------------------------------------------------------------------------------

S.recvmsg, S.sendmsg = native.recvmsg(msg, errors), native.sendmsg(msg, errors)

function S.read(fd, _, count) return checked(native.receive(fd, count or 1e9, 0)) end
function S.recv(fd, _, count, flags)
  return checked(native.receive(fd, count or 1e9, flags or 0))
end
function S.recvfrom(fd, _, count, flags, address)
  local received, errno = native.receive(fd, count or 1e9, flags or 0)
  if received == nil then return nil, errors[errno] end
  if address == nil then return received end
  local _, _, _, bytes, port = native.message()
  return received, fill(bytes, port, address)
end
local function outgoing(data, count)
  if data == buffer then return count or 1e9 end
  data = tostring(data)
  return count and data:sub(1, count) or data
end
function S.write(fd, data, count) return checked(native.send(fd, outgoing(data, count), 0)) end
function S.send(fd, data, count, flags)
  return checked(native.send(fd, outgoing(data, count), flags or 0))
end
function S.sendto(fd, data, count, flags, address)
  return checked(native.send(fd, outgoing(data, count), flags or 0, taken_apart(address)))
end

local function bytes_of(value)
  if type(value) == "string" or type(value) == "number" then return value end
  if type(value) == "boolean" then return value and 1 or 0 end
  local meta = getmetatable(value)
  if meta and meta.__bytes then return meta.__bytes(value), meta.__is_program end
  if type(value) == "table" and rawget(value, "bytes") then return value.bytes end
  error("bad argument #4 to 'setsockopt' (number, boolean, string or structure expected, got "
    .. type(value) .. ")", 3)
end
function S.setsockopt(fd, level, option, value, length)
  local bytes, is_program = bytes_of(value)
  if type(bytes) == "string" and length then bytes = bytes:sub(1, length) end
  return checked(native.setsockopt(fd, level, option, bytes, is_program))
end

local info_fields = {
  "uint8", "state ca_state retransmits probes backoff options wscale app_limited",
  "uint32", "rto ato snd_mss rcv_mss unacked sacked lost retrans fackets last_data_sent "
    .. "last_ack_sent last_data_recv last_ack_recv pmtu rcv_ssthresh rtt rttvar snd_ssthresh "
    .. "snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans",
  "uint64", "pacing_rate max_pacing_rate bytes_acked bytes_received",
  "uint32", "segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out",
  "uint64", "delivery_rate busy_time rwnd_limited sndbuf_limited",
  "uint32", "delivered delivered_ce",
  "uint64", "bytes_sent bytes_retrans",
  "uint32", "dsack_dups reord_seen rcv_ooopack snd_wnd",
}
local sizes = { uint8 = 1, uint32 = 4, uint64 = 8 }
function pt.tcp_info(data)
  local bytes, info, at = data.bytes, {}, 0
  for n = 1, #info_fields, 2 do
    local kind = info_fields[n]
    for name in info_fields[n + 1]:gmatch("%S+") do
      info["tcpi_" .. name] = native.number(bytes, at, kind)
      at = at + sizes[kind]
    end
  end
  local scale = info.tcpi_wscale or 0
  info.tcpi_snd_wscale, info.tcpi_rcv_wscale = scale % 16, math.floor(scale / 16)
  info.tcpi_wscale = nil
  return info
end

local structures = {
  [constants.SOL_SOCKET] = {
    [constants.SO_LINGER] = { 8, function(bytes)
      return t.linger(number(bytes, 0, "int32"), number(bytes, 4, "int32"))
    end },
    [constants.SO_RCVTIMEO] = { 16, function(bytes) return pt.timeval { bytes = bytes } end },
    [constants.SO_SNDTIMEO] = { 16, function(bytes) return pt.timeval { bytes = bytes } end },
    [constants.SO_BINDTODEVICE] = { 16, function(bytes) return (bytes:gsub("%z.*", "")) end },
  },
  [constants.IPPROTO_TCP] = {
    [constants.TCP_INFO] = { 256, function(bytes) return pt.tcp_info { bytes = bytes } end },
    [constants.TCP_CONGESTION] = { 16, function(bytes) return (bytes:gsub("%z.*", "")) end },
  },
}
--- An option's value: a number, or a structure where the option is one. With a length: its bytes.
function S.getsockopt(fd, level, option, length)
  local structure = structures[level] and structures[level][option]
  local bytes, errno = native.getsockopt(fd, level, option,
    type(length) == "number" and length or structure and structure[1] or 4)
  if bytes == nil then return nil, errors[errno] end
  if type(length) == "number" then return bytes end
  if structure then return structure[2](bytes) end
  return #bytes >= 4 and number(bytes, 0, "int32") or number(bytes, 0, "uint8")
end

local function named(peer)
  return function(fd)
    local bytes, port = native.name(fd, peer)
    if bytes == nil then return nil, errors[port] end
    return fill(bytes, port)
  end
end
S.getsockname, S.getpeername = named(false), named(true)

-- Names as in C ----------------------------------------------------------------------------------

for name, value in pairs(constants) do G[name] = value end
for name, value in pairs(S) do
  if type(value) == "function" then G[name] = value end
end
for name, value in pairs(t) do
  if name ~= "error" then G[name] = value end
end
for name, value in pairs(pt) do G[name .. "_ptr"] = value end
G.S = S

if G == _G then
  if not math.type then
    function math.type(value)
      if type(value) ~= "number" then return nil end
      return value == math.floor(value) and math.abs(value) < 2^53 and "integer" or "float"
    end
  end
  if package and package.preload then
    package.preload.syscall = function() return S end
  end
  -- What a script may ask though there is nothing to tell.
  function is_client() end
  function is_server() end
  function tid_iter() return function() end end
end

-- What every state of a worker has as well, by its name there: it is not copied but looked up.
local names = { [G] = "_G" }
local function walk(from, path, depth)
  for key, value in pairs(from) do
    local kind = type(value)
    if type(key) == "string" and not names[value]
      and (kind == "function" or kind == "table" or kind == "userdata") then
      names[value] = path .. key
      if kind == "table" and depth > 0 then walk(value, path .. key .. ".", depth - 1) end
    end
  end
end
walk({ S = S }, "", 4)
walk(G, "", 0)
for _, library in ipairs { "string", "table", "math", "bit", "os", "io", "coroutine" } do
  local found = rawget(_G, library)
  if found then walk({ [library] = found }, "", 1) end
end
for _, name in ipairs { "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall",
  "print", "rawequal", "rawget", "rawset", "select", "setmetatable", "tonumber", "tostring", "type",
  "unpack", "xpcall" } do
  local found = rawget(_G, name)
  if found and not names[found] then names[found] = name end
end

return msg, native.addrinfo, names, G
