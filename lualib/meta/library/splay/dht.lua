---@meta splay.dht
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@alias splay.dht.id number|string

---@class splay.dht
local M = {}

--- The first hexadecimal digits of the SHA-1 digest of a text (or of a node's address).
---
--- `dht.hex_id("abc", 16)  --> "a999"`
---
--- Errors: raises for other sizes than 4 to 160 bits in steps of 4.
---@param what string|splay.Node
---@param bits integer? a multiple of 4, default and at most 160
---@return string id
function M.hex_id(what, bits) end

--- The first bits of the SHA-1 digest of a text (or of a node's address), as a number.
---
--- `dht.id("abc", 16)  --> 43417`
---
--- Errors: raises for other sizes than 1 to 52 bits.
---@param what string|splay.Node
---@param bits integer? 1 to 52, default 40
---@return number id
function M.id(what, bits) end

--- A random identifier.
---
--- `dht.random_id(16)  --> such as "07c3"`
---@param bits integer? a multiple of 4, default 160
---@return string id
function M.random_id(bits) end

--- Whether `id` lies in the open interval (a, b), walking upwards on the ring. From a to a is
--- once around: everything but a.
---
--- `dht.between(1, 250, 5)  --> true`
--- `dht.between("07", "07", "07")  --> false`
---@param id splay.dht.id
---@param a splay.dht.id
---@param b splay.dht.id
---@return boolean
function M.between(id, a, b) end

--- How far it is from `a` upwards to `b` on the ring.
---
--- `dht.distance(250, 5, 8)  --> 11`
--- `dht.distance("fa", "05")  --> "0b"`
---@generic T: splay.dht.id
---@param a T
---@param b T
---@param bits integer? of the ring; needed for numbers only
---@return T
function M.distance(a, b, bits) end

--- How far it is between `a` and `b` on the ring, the shorter way around.
---
--- `dht.ring_distance(5, 250, 8)  --> 11`
--- `dht.ring_distance("05", "fa")  --> "0b"`
---@generic T: splay.dht.id
---@param a T
---@param b T
---@param bits integer? of the ring; needed for numbers only
---@return T
function M.ring_distance(a, b, bits) end

--- The distance of Kademlia: the exclusive or of two identifiers.
---
--- `dht.xor(6, 3)  --> 5`
--- `dht.xor("0f06", "0003")  --> "0f05"`
---@generic T: splay.dht.id
---@param a T
---@param b T
---@return T
function M.xor(a, b) end

--- One hexadecimal digit of an identifier, as a number; the first is the most significant.
---
--- `dht.digit("a93e", 2)  --> 9`
---@param id string
---@param i integer from 1
---@return integer? # nil beyond the last digit
function M.digit(id, i) end

--- How many leading digits two identifiers have in common.
---
--- `dht.common_digits("a93e", "a97e")  --> 2`
---@param a string
---@param b string
---@return integer
function M.common_digits(a, b) end

--- How many leading bits two identifiers have in common.
---
--- `dht.common_bits("a93e", "a97e")  --> 9`
---@param a string
---@param b string
---@return integer
function M.common_bits(a, b) end

--- A new array of the nodes (tables with an `id`) closest to an identifier, closest first.
---
--- ```lua
--- dht.closest({ { id = 1 }, { id = 9 }, { id = 6 } }, 7, 2, dht.xor)
---   --> { { id = 6 }, { id = 1 } }
--- ```
---@generic T: { id: splay.dht.id }
---@param nodes T[]
---@param id splay.dht.id
---@param count integer? at most so many, default all
---@param metric nil|fun(a: splay.dht.id, b: splay.dht.id): splay.dht.id default `dht.xor`
---@return T[]
function M.closest(nodes, id, count, metric) end

return M
