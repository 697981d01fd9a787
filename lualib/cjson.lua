--- JSON, with the interface of lua-cjson 2.1.
---
--- Settings belong to one table of functions: `cjson.new()` makes another one. Each setter
--- returns the setting, changed or (without argument) not.

---@class cjson
---@field null lightuserdata what a JSON null is decoded to, and encoded as null
---@field _NAME string
---@field _VERSION string
local M = require("splay.cjson_core").new()

--- Encodes a value. A table with only positive whole keys is an array, any other (`{}` too) an
--- object. Raises "Cannot serialise ..." for what JSON cannot say.
---@type fun(value: any): string
--- Example: `cjson.encode({ 1, "two", cjson.null })` --> '[1,"two",null]'
M.encode = M.encode

--- Decodes a text. Raises "Expected ... but found ... at character N".
---@type fun(text: string): any
--- Example: `cjson.decode('{"a":[1,2]}')` --> { a = { 1, 2 } }
M.decode = M.decode

--- Makes a table like this one, with default settings.
---@type fun(): cjson
--- Example: `local strict = cjson.new()`
M.new = M.new

--- When arrays are refused as "excessively sparse": `convert` writes them as objects instead;
--- the highest index must exceed `safe`, and `ratio` times the number of elements (0: never).
---@type fun(convert?: boolean, ratio?: integer, safe?: integer): boolean, integer, integer
--- Example: `cjson.encode_sparse_array(true)` --> true, 2, 10
M.encode_sparse_array = M.encode_sparse_array

--- Deepest nesting that is encoded.
---@type fun(depth?: integer): integer
--- Example: `cjson.encode_max_depth()` --> 1000
M.encode_max_depth = M.encode_max_depth

--- Deepest nesting that is decoded.
---@type fun(depth?: integer): integer
--- Example: `cjson.decode_max_depth(20)` --> 20
M.decode_max_depth = M.decode_max_depth

--- Significant digits of encoded numbers, at most 17.
---@type fun(digits?: integer): integer
--- Example: `cjson.encode_number_precision()` --> 14
M.encode_number_precision = M.encode_number_precision

--- Without effect: the buffer is always kept.
---@type fun(keep?: boolean): boolean
--- Example: `cjson.encode_keep_buffer()` --> true
M.encode_keep_buffer = M.encode_keep_buffer

--- Whether NaN and infinities are refused (false), written as they are (true) or as "null".
---@type fun(setting?: boolean|"null"): boolean|"null"
--- Example: `cjson.encode_invalid_numbers("null")` --> "null"
M.encode_invalid_numbers = M.encode_invalid_numbers

--- Whether NaN, infinities and hexadecimal numbers are decoded.
---@type fun(accept?: boolean): boolean
--- Example: `cjson.decode_invalid_numbers()` --> true
M.decode_invalid_numbers = M.decode_invalid_numbers

return M
