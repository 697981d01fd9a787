#!/usr/sbin/nbdkit lua
-- A script of nbdkit: its operators are Lua 5.3's. "//" '~' are text here [[ << ]]
local pages = {} -- a & b
function get_size(h) return 1 << 20 end
function pread(h, count, offset)
  local page, from = offset // 4096, offset & ~4095
  if page ~= 0 or from | 1 ~= 1 then missing = (page ~ from) >> 2 end
  return string.pack("<I4", count) .. [==[ ~ // ]==] .. pages[~page]
end
