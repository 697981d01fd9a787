--- URLs by RFC 3986: into parts and together again, relative to absolute, escapes.
---
--- ```lua
--- url.parse("http://me@host:8080/a/b?q#f").port  --> "8080"
--- url.absolute("http://host/a/b", "../c")  --> "http://host/c"
--- url.escape("/#?;")  --> "%2f%23%3f%3b"
--- ```
---
--- Since: 0.1
local char, byte, format = string.char, string.byte, string.format
local find, gsub, match, sub = string.find, string.gsub, string.match, string.sub
local concat = table.concat

---@class socket.url
local M = { _VERSION = "URL 1.0.3" }

---@class socket.url.Parsed
---@field scheme string?
---@field authority string? `userinfo@host:port`
---@field userinfo string?
---@field user string?
---@field password string?
---@field host string? an IPv6 address without its brackets
---@field port string|integer|nil
---@field path string?
---@field params string?
---@field query string?
---@field fragment string?

local function escaped(c) return format("%%%02x", byte(c)) end

--- Escapes all but letters, digits and `_`.
---
--- `url.escape("a b/c")  --> "a%20b%2fc"`
---@param text string
---@return string
function M.escape(text) return (gsub(text, "[^%w_]", escaped)) end

--- Undoes escapes.
---
--- `url.unescape("a%20b")  --> "a b"`
---@param text string
---@return string
function M.unescape(text)
  return (gsub(text, "%%(%x%x)", function(digits) return char(tonumber(digits, 16)) end))
end

-- Removes the segments `.` and `..` from a path, by RFC 3986, 5.2.4.
local function remove_dots(path)
  if not find(path, ".", 1, true) then return path end
  local rooted = sub(path, 1, 1) == "/"
  local out, n = {}, 0
  local at, size = rooted and 2 or 1, #path
  while at <= size + 1 do
    local slash = find(path, "/", at, true)
    local segment = sub(path, at, (slash or size + 1) - 1)
    local last = not slash
    if segment == "." then
      if last then out[n + 1], n = "", n + 1 end
    elseif segment == ".." and (n > 0 and out[n] ~= ".." or n == 0 and rooted) then
      if n > 0 then out[n], n = nil, n - 1 end
      if last then out[n + 1], n = "", n + 1 end
    else
      out[n + 1], n = segment, n + 1
    end
    at = slash and slash + 1 or size + 2
  end
  return (rooted and "/" or "") .. concat(out, "/", 1, n)
end

--- Takes a URL apart.
---
--- `url.parse("http://host/a;p?q#f")  --> { scheme = "http", host = "host", path = "/a", ... }`
---
--- Errors: `nil, "invalid url"` for an empty text.
---@param text string
---@param default socket.url.Parsed? parts that `text` may lack
---@return socket.url.Parsed? parsed nil, "invalid url"
---@return string? reason
function M.parse(text, default)
  local parsed = {}
  for name, value in pairs(default or parsed) do parsed[name] = value end
  if not text or text == "" then return nil, "invalid url" end
  local rest = text
  -- Cuts off what a pattern matches and remembers its capture.
  local function take(name, pattern)
    local first, last, value = find(rest, pattern)
    if not first then return end
    parsed[name] = value
    rest = sub(rest, 1, first - 1) .. sub(rest, last + 1)
  end
  take("scheme", "^(%a[%w+.-]*):")
  take("authority", "^//([^/?#]*)")
  take("fragment", "#(.*)$")
  take("query", "%?(.*)$")
  take("params", ";(.*)$")
  if rest ~= "" then parsed.path = rest end
  local authority = parsed.authority
  if not authority then return parsed end
  rest = authority
  take("userinfo", "^(.*)@")
  take("port", ":([^:%]]*)$")
  if parsed.port == "" then parsed.port = nil end
  if rest ~= "" then parsed.host = match(rest, "^%[(.+)%]$") or rest end
  local userinfo = parsed.userinfo
  if not userinfo then return parsed end
  rest = userinfo
  take("password", ":(.*)$")
  parsed.user = rest
  return parsed
end

--- Puts a URL together. Where there is a host, `authority` is made of its parts.
---
--- `url.build({scheme = "http", host = "host", port = 80, path = "/"})  --> "http://host:80/"`
---@param parsed socket.url.Parsed
---@return string
function M.build(parsed)
  local text = parsed.path or ""
  if parsed.params then text = text .. ";" .. parsed.params end
  if parsed.query then text = text .. "?" .. parsed.query end
  local authority = parsed.authority
  if parsed.host then
    authority = parsed.host
    if find(authority, ":", 1, true) then authority = "[" .. authority .. "]" end
    if parsed.port then authority = authority .. ":" .. tostring(parsed.port) end
    local userinfo = parsed.userinfo
    if parsed.user then
      userinfo = parsed.user .. (parsed.password and ":" .. parsed.password or "")
    end
    if userinfo then authority = userinfo .. "@" .. authority end
  end
  if authority then text = "//" .. authority .. text end
  if parsed.scheme then text = parsed.scheme .. ":" .. text end
  if parsed.fragment then text = text .. "#" .. parsed.fragment end
  return text
end

--- Makes a URL absolute. What the relative one lacks comes from the base; a base without a path
--- counts as `/`.
---
--- `url.absolute("http://host/a/b;p?q", "../c?d")  --> "http://host/c?d"`
---@param base string|socket.url.Parsed
---@param relative string
---@return string
function M.absolute(base, relative)
  local from
  if type(base) == "table" then
    from, base = base, M.build(base)
  else
    from = M.parse(base)
  end
  local to = M.parse(relative)
  if not from then return relative end
  if not to then return base end
  if not to.scheme then
    to.scheme = from.scheme
    if not to.authority then
      for _, part in ipairs { "authority", "userinfo", "user", "password", "host", "port" } do
        to[part] = from[part]
      end
      if not to.path then
        to.path = from.path
        if not to.params then
          to.params = from.params
          if not to.query then to.query = from.query end
        end
      elseif sub(to.path, 1, 1) ~= "/" then
        local folder = match(from.path or "", "^.*/") or (from.authority and "/" or "")
        to.path = remove_dots(folder .. to.path)
      end
    end
  elseif not to.authority then
    return relative
  end
  if to.path and sub(to.path, 1, 1) == "/" then to.path = remove_dots(to.path) end
  return M.build(to)
end

---@class socket.url.Path
---@field is_absolute integer? 1 if the path begins with a slash
---@field is_directory integer? 1 if the path ends with a slash
---@field [integer] string a segment, unescaped

--- Takes a path apart into its segments, unescaped.
---
--- `url.parse_path("/a%20b/c/")  --> {"a b", "c", is_absolute = 1, is_directory = 1}`
---@param path string?
---@return socket.url.Path
function M.parse_path(path)
  local parsed = {}
  path = path or ""
  for segment in path:gmatch("[^/]+") do parsed[#parsed + 1] = M.unescape(segment) end
  if sub(path, 1, 1) == "/" then parsed.is_absolute = 1 end
  if sub(path, -1) == "/" then parsed.is_directory = 1 end
  return parsed
end

--- Puts a path together; segments are escaped where they must be, unless `unsafe`.
---
--- `url.build_path({"a b", "c", is_absolute = 1})  --> "/a%20b/c"`
---@param parsed socket.url.Path
---@param unsafe any? true: segments are taken as they are
---@return string
function M.build_path(parsed, unsafe)
  local segments = {}
  for i, segment in ipairs(parsed) do
    segments[i] = unsafe and segment
      or (gsub(segment, "[^%w_.!~*'():@&=+$,-]", function(c) return format("%%%02X", byte(c)) end))
  end
  local path = concat(segments, "/")
  if parsed.is_directory and #segments > 0 then path = path .. "/" end
  return (parsed.is_absolute and "/" or "") .. path
end

return M
