-- The script of an object class, and not all of its names are right.
function add(input, output)
  local ok, old = pcall(cls.map_get_value, "count")
  if not ok then return -cls.EINVAL end
  local new = bufferlist.new()
  new:append(old:str() .. input:str())
  cls.map_set_val("count", new)
  events.sleep(1)
  output:append(new:str())
end
cls.register(add)
