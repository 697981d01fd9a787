--- lua-etcd's module: the client of `splay.etcd`, cooperative, over kept connections.
---
--- ```lua not run: a server is needed
--- local Etcd = require "etcd.luasocket"
--- local cli, err = Etcd.new()
--- ```
---
--- Since: 0.1
return require "splay.etcd"
