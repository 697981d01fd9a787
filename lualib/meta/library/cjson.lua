---@meta cjson
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class cjson
---@field null lightuserdata what a JSON null is decoded to, and encoded as null
---@field _NAME string
---@field _VERSION string
local M = {}

--- Encodes a value. A table with only positive whole keys is an array, any other (`{}` too) an
--- object. Raises "Cannot serialise ..." for what JSON cannot say.
---
--- `cjson.encode({ 1, "two", cjson.null })  --> '[1,"two",null]'`
---
--- Errors: raises "Cannot serialise ..."; `cjson.safe` returns nil and the text.
---@param value any
---@return string
function M.encode(value) end

--- Decodes a text. Raises "Expected ... but found ... at character N".
---
--- `cjson.decode('{"a":[1,2]}')  --> { a = { 1, 2 } }`
---
--- Errors: raises "Expected ... but found ... at character N"; `cjson.safe` returns nil and the
--- text.
---@param text string
---@return any
function M.decode(text) end

--- Makes a table like this one, with default settings.
---
--- ```lua
--- local strict = cjson.new()
--- strict.encode_max_depth(2)
--- strict.encode({ { { } } })  --> error excessive depth
--- ```
---@return cjson
function M.new() end

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
function M.encode_sparse_array(convert, ratio, safe) end

--- Deepest nesting that is encoded.
---
--- `cjson.encode_max_depth()  --> 1000`
---@param depth? integer
---@return integer
function M.encode_max_depth(depth) end

--- Deepest nesting that is decoded.
---
--- `cjson.decode_max_depth(20)  --> 20`
---@param depth? integer
---@return integer
function M.decode_max_depth(depth) end

--- Significant digits of encoded numbers, at most 17.
---
--- `cjson.encode_number_precision()  --> 14`
---@param digits? integer
---@return integer
function M.encode_number_precision(digits) end

--- Without effect: the buffer is always kept.
---
--- `cjson.encode_keep_buffer()  --> true`
---@param keep? boolean
---@return boolean
function M.encode_keep_buffer(keep) end

--- Whether NaN and infinities are refused (false), written as they are (true) or as "null".
---
--- `cjson.encode_invalid_numbers("null")  --> "null"`
---@param setting? boolean|"null"
---@return boolean|"null"
function M.encode_invalid_numbers(setting) end

--- Whether NaN, infinities and hexadecimal numbers are decoded.
---
--- `cjson.decode_invalid_numbers()  --> true`
---@param accept? boolean
---@return boolean
function M.decode_invalid_numbers(accept) end

return M
