--- JSON, with the interface of lua-cjson 2.1.
---
--- Settings belong to one table of functions: `cjson.new()` makes another one. Each setter
--- returns the setting, changed or (without argument) not.
---
--- Since: 0.1

---@class cjson
---@field null lightuserdata what a JSON null is decoded to, and encoded as null
---@field _NAME string
---@field _VERSION string
local M = require("splay.cjson_core").new()

--- Encodes a value. A table with only positive whole keys is an array, any other (`{}` too) an
--- object. Raises "Cannot serialise ..." for what JSON cannot say.
---
--- `cjson.encode({ 1, "two", cjson.null })  --> '[1,"two",null]'`
---
--- Errors: raises "Cannot serialise ..."; `cjson.safe` returns nil and the text.
---@param value any
---@return string
M.encode = M.encode

--- Decodes a text. Raises "Expected ... but found ... at character N".
---
--- `cjson.decode('{"a":[1,2]}')  --> { a = { 1, 2 } }`
---
--- Errors: raises "Expected ... but found ... at character N"; `cjson.safe` returns nil and the
--- text.
---@param text string
---@return any
M.decode = M.decode

--- Makes a table like this one, with default settings.
---
--- ```lua
--- local strict = cjson.new()
--- strict.encode_max_depth(2)
--- strict.encode({ { { } } })  --> error excessive depth
--- ```
---@return cjson
M.new = M.new

--- When arrays are refused as "excessively sparse": `convert` writes them as objects instead;
--- the highest index must exceed `safe`, and `ratio` times the number of elements (0: never).
---
--- `cjson.encode_sparse_array(true)  --> true, 2, 10`
---@param convert? boolean
---@param ratio? integer
---@param safe? integer
---@return boolean
---@return integer
---@return integer
M.encode_sparse_array = M.encode_sparse_array

--- Deepest nesting that is encoded.
---
--- `cjson.encode_max_depth()  --> 1000`
---@param depth? integer
---@return integer
M.encode_max_depth = M.encode_max_depth

--- Deepest nesting that is decoded.
---
--- `cjson.decode_max_depth(20)  --> 20`
---@param depth? integer
---@return integer
M.decode_max_depth = M.decode_max_depth

--- Significant digits of encoded numbers, at most 17.
---
--- `cjson.encode_number_precision()  --> 14`
---@param digits? integer
---@return integer
M.encode_number_precision = M.encode_number_precision

--- Without effect: the buffer is always kept.
---
--- `cjson.encode_keep_buffer()  --> true`
---@param keep? boolean
---@return boolean
M.encode_keep_buffer = M.encode_keep_buffer

--- Whether NaN and infinities are refused (false), written as they are (true) or as "null".
---
--- `cjson.encode_invalid_numbers("null")  --> "null"`
---@param setting? boolean|"null"
---@return boolean|"null"
M.encode_invalid_numbers = M.encode_invalid_numbers

--- Whether NaN, infinities and hexadecimal numbers are decoded.
---
--- `cjson.decode_invalid_numbers()  --> true`
---@param accept? boolean
---@return boolean
M.decode_invalid_numbers = M.decode_invalid_numbers

return M
