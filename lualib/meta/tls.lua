---@meta
-- Connections under TLS (`splay.tls_core`), described by hand.

--- A connection under TLS, made by `ssl.wrap`: all methods of TCP sockets, and these.
---
--- ```lua not run: a server with a certificate is needed
--- local c = assert(socket.connect("localhost", 443))
--- c = assert(ssl.wrap(c, { mode = "client", cafile = "ca.pem" }))
--- ```
---@class splay.Tls: splay.Tcp
local Tls = {}

--- Agrees on versions and keys, and checks certificates. Nothing is sent or received before.
---
--- `c:dohandshake()  --> true`
--- `c:dohandshake()  --> false, "certificate verify failed (unknown issuer)"`
---
--- Errors: `false, "reason"`: "certificate verify failed (REASON)", "tls: REASON", those of the
--- network; "wantread" and "wantwrite" with a timeout of 0.
---@async
---@return boolean ok
---@return string? reason
function Tls:dohandshake() end

--- Sets the name that the server's certificate is for; before the handshake.
---
--- `c:sni("localhost")  --> true`
---@param name string
---@return boolean set
function Tls:sni(name) end

--- What the handshake has settled: "protocol", "cipher", or both in a table.
---
--- `c:info("protocol")  --> "TLSv1.3"`
---
--- Errors: `nil, "handshake not done"`.
---@param field "protocol"|"cipher"|nil
---@return string|{protocol: string, cipher: string}|nil value nil, "handshake not done"
---@return string? reason
function Tls:info(field) end

--- The application protocol that was agreed on.
---
--- `c:getalpn()  --> "http/1.1"`
---@return string? protocol
function Tls:getalpn() end

--- A certificate of the other side, in DER form; the first is its own.
---
--- `#c:peercertificate()  --> 512`
---
--- Errors: `nil, "reason"` if there is none.
---@param n integer? 1 if absent
---@return string? der nil if there is none
---@return string? reason
function Tls:peercertificate(n) end

--- What an unfinished operation waits for: "read", "write" or "nothing".
---
--- `c:want()  --> "nothing"`
---@return string
function Tls:want() end
