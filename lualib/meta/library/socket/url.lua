---@meta socket.url
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

---@class socket.url.Path
---@field is_absolute integer? 1 if the path begins with a slash
---@field is_directory integer? 1 if the path ends with a slash
---@field [integer] string a segment, unescaped

---@class socket.url
local M = {}

--- Escapes all but letters, digits and `_`.
---
--- `url.escape("a b/c")  --> "a%20b%2fc"`
---@param text string
---@return string
function M.escape(text) end

--- Undoes escapes.
---
--- `url.unescape("a%20b")  --> "a b"`
---@param text string
---@return string
function M.unescape(text) end

--- Takes a URL apart.
---
--- `url.parse("http://host/a;p?q#f")  --> { scheme = "http", host = "host", path = "/a", ... }`
---
--- Errors: `nil, "invalid url"` for an empty text.
---@param text string
---@param default socket.url.Parsed? parts that `text` may lack
---@return socket.url.Parsed? parsed nil, "invalid url"
---@return string? reason
function M.parse(text, default) end

--- Puts a URL together. Where there is a host, `authority` is made of its parts.
---
--- `url.build({scheme = "http", host = "host", port = 80, path = "/"})  --> "http://host:80/"`
---@param parsed socket.url.Parsed
---@return string
function M.build(parsed) end

--- Makes a URL absolute. What the relative one lacks comes from the base; a base without a path
--- counts as `/`.
---
--- `url.absolute("http://host/a/b;p?q", "../c?d")  --> "http://host/c?d"`
---@param base string|socket.url.Parsed
---@param relative string
---@return string
function M.absolute(base, relative) end

--- Takes a path apart into its segments, unescaped.
---
--- `url.parse_path("/a%20b/c/")  --> {"a b", "c", is_absolute = 1, is_directory = 1}`
---@param path string?
---@return socket.url.Path
function M.parse_path(path) end

--- Puts a path together; segments are escaped where they must be, unless `unsafe`.
---
--- `url.build_path({"a b", "c", is_absolute = 1})  --> "/a%20b/c"`
---@param parsed socket.url.Path
---@param unsafe any? true: segments are taken as they are
---@return string
function M.build_path(parsed, unsafe) end

return M
