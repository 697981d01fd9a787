--- LuaSocket's native part of `mime`: the low-level filters `b64`, `unb64`, `qp`, `unqp`, `wrp`,
--- `qpwrp`, `eol` and `dot`.
---
--- Since: 0.1
return require "splay.mime_core"
