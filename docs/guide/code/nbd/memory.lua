#!/usr/sbin/nbdkit lua
-- A disk in memory, for nbdkit and for splay nbd.

local page_size = 4096
local empty = string.rep("\0", page_size)
local size = 64 * 1024 * 1024
local pages = {}

function config(key, value)
  if key ~= "size" then error("unknown parameter " .. key .. "=" .. value) end
  size = tonumber(value)
end

function open(readonly) return 1 end

function get_size(h) return size end

function pread(h, count, offset)
  local page, from = offset // page_size, offset & (page_size - 1)
  if from == 0 and count == page_size then return pages[page] or empty end
  local parts = {}
  while count > 0 do
    local n = math.min(count, page_size - from)
    parts[#parts + 1] = string.sub(pages[page] or empty, from + 1, from + n)
    page, from, count = page + 1, 0, count - n
  end
  return table.concat(parts)
end

function pwrite(h, data, offset)
  local page, from, at = offset // page_size, offset & (page_size - 1), 0
  while at < #data do
    local n = math.min(#data - at, page_size - from)
    local piece = string.sub(data, at + 1, at + n)
    if n < page_size then
      local old = pages[page] or empty
      piece = string.sub(old, 1, from) .. piece .. string.sub(old, from + n + 1)
    end
    pages[page] = piece
    page, from, at = page + 1, 0, at + n
  end
end

function trim(h, count, offset) end

function flush(h) end

function can_flush(h) return true end
