-- A class: counters in the map of an object.
function add(input, output)
  local by = tonumber(input:str())
  if not by then return -cls.EINVAL end
  local ok, old = pcall(cls.map_get_val, "count")
  local count = (ok and tonumber(old:str()) or 0) + by
  local new = bufferlist.new()
  new:append(tostring(count))
  cls.map_set_val("count", new)
  cls.log("count is now", count)
  output:append(count .. "\n")
end
cls.register(add)
