--- Disks in memory, part of `splay.nbd`: `new`.

local floor, min, concat = math.floor, math.min, table.concat

local M = {}

-- Bytes of a page: what file systems ask for at once.
local PAGE = 4096
local EMPTY = ("\0"):rep(PAGE)

--- See `nbd.memory`.
---@param size integer bytes
---@return splay.nbd.Plugin
function M.new(size)
  local pages = {} -- by number; those that are absent are zeroes
  local plugin = {}

  function plugin.get_size() return size end

  function plugin.pread(_, count, offset)
    local page, from = floor(offset / PAGE), offset % PAGE
    if from == 0 and count == PAGE then return pages[page] or EMPTY end
    local parts, n = {}, 0
    while count > 0 do
      local length = min(count, PAGE - from)
      local content = pages[page] or EMPTY
      n = n + 1
      parts[n] = length == PAGE and content or content:sub(from + 1, from + length)
      page, from, count = page + 1, 0, count - length
    end
    return concat(parts)
  end

  -- `at`: bytes of `data` that are written already.
  local function write(data, offset)
    local page, from, at, count = floor(offset / PAGE), offset % PAGE, 0, #data
    if from == 0 and count == PAGE then
      pages[page] = data
      return
    end
    while at < count do
      local length = min(count - at, PAGE - from)
      local piece = data:sub(at + 1, at + length)
      if length < PAGE then
        local content = pages[page] or EMPTY
        piece = content:sub(1, from) .. piece .. content:sub(from + length + 1)
      end
      pages[page] = piece
      page, from, at = page + 1, 0, at + length
    end
  end

  function plugin.pwrite(_, data, offset) write(data, offset) end

  -- Whole pages are given back.
  local function clear(_, count, offset)
    while count > 0 do
      local page, from = floor(offset / PAGE), offset % PAGE
      local length = min(count, PAGE - from)
      if length == PAGE then
        pages[page] = nil
      elseif pages[page] then
        write(("\0"):rep(length), offset)
      end
      count, offset = count - length, offset + length
    end
  end

  plugin.zero, plugin.trim = clear, clear
  function plugin.flush() end
  function plugin.can_multi_conn() return true end

  function plugin.extents(_, count, offset)
    local list = {}
    while count > 0 do
      local page, from = floor(offset / PAGE), offset % PAGE
      local length = min(count, PAGE - from)
      local empty, last = not pages[page], list[#list]
      if last and last.hole == empty then
        last.length = last.length + length
      else
        list[#list + 1] = { length = length, hole = empty, zero = empty }
      end
      count, offset = count - length, offset + length
    end
    return list
  end

  return plugin
end

return M
