-- A BitTorrent swarm: many download a file from each other, faster than one could give it to all.
--
-- B. Cohen, "Incentives Build Robustness in BitTorrent", 2003, and the protocol's specification,
-- BEP 3: .torrent files, a tracker spoken to over HTTP with compact peer lists (BEP 23), the peer
-- wire protocol byte by byte, SHA-1 of every piece, rarest first with partial pieces before new
-- ones, endgame mode, tit-for-tat choking with an optimistic unchoke, rotated every third round.
-- Ordinary clients take part. Left out: UDP trackers, extensions, encryption, files of a torrent
-- with several written apart (they are one stream of bytes here).
--
-- Run:    splay run apps/swarm.lua -n 50        (a head list of all nodes)
--    or, for other clients, who download from http://127.0.0.1:20001/torrent:
--            splay run apps/swarm.lua -n 5 --first-port 20001 -- seed=FILE stay
-- Parameters: seed=FILE     what the first node shares, default size=512 random KiB
--    torrent=FILE  read by all; default: made by the first node in pieces of piece=32 KiB and
--       fetched from it      save=PREFIX  each node writes the file to PREFIX-<port>
--    period=1      seconds between rounds of choking (usually 10)      slots=4  unchoked peers
--    peers=20      connections at most      rate=512  KiB a second a node sends (0: no limit)
--    crash=0       share of the nodes that end for good at a random time
--    stay          run on
--    stay          run on
-- Prints: `file correct: 50 nodes ...` or `file wrong: reason`; then all end.
-- Proves: all living nodes have the same whole file, each piece with the digest that the .torrent
--    names, and a good part of it came from others than the first node.
require "splay.base"
local net, rpc, bits = require "splay.net", require "splay.urpc", require "splay.bits"
local cli, proof, parallel = require "splay.cli", require "splay.proof", require "splay.parallel"
local benc, crypto = require "splay.benc", require "crypto"
local http, url = require "socket.http", require "socket.url"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters { seed = "", size = 512, torrent = "", piece = 32, save = "", period = 1,
  slots = 4, peers = 20, rate = 512, crash = 0, stay = false }
local me = job.me
local peer_id = ("-SL0100-%012d"):format(math.random(0, 999999) * 1000000 + me.port)

-- Protocol ------------------------------------------------------------------------------------

local BLOCK = 16384 -- bytes of a request
local DEPTH = 8 -- requests under way to a peer
local LONGEST = 2 ^ 20 -- bytes of a message
local CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL =
  0, 1, 2, 3, 4, 5, 6, 7, 8

local function sha1(bytes) return crypto.evp.digest("sha1", bytes, true) end
local function number(bytes, at) return misc.to_int(bytes:sub(at, at + 3)) end

-- The torrent: pieces count from 0, as do their blocks.
local torrent, announce, info, info_hash, length
local count, missing = 0, 0 -- of all pieces, of those not here
local pieces = {} -- what is here of each, what is asked for, how many peers have it
local unasked = 0 -- missing blocks that no peer has been asked for
local uploaded, downloaded, spoilt = 0, 0, 0

local function size_of(index)
  return math.min(info["piece length"], length - index * info["piece length"])
end

local function block_size(index, block) return math.min(BLOCK, size_of(index) - block * BLOCK) end

local function clear(index)
  local piece, total = pieces[index], math.ceil(size_of(index) / BLOCK)
  piece.blocks, piece.asked, piece.givers = {}, {}, {}
  piece.total, piece.left, piece.free, unasked = total, total, total, unasked + total
end

-- Reads a .torrent; what identifies it is the digest of the very bytes of its `info`.
local function open_torrent(bytes)
  local at = 2
  while bytes:sub(at, at) ~= "e" do
    local key, key_size = benc.decode(bytes:sub(at))
    local value, size = benc.decode(bytes:sub(at + key_size))
    if key == "announce" then announce = value end
    if key == "info" then
      info, info_hash = value, sha1(bytes:sub(at + key_size, at + key_size + size - 1))
    end
    at = at + key_size + size
  end
  torrent, length = bytes, info.length or 0
  for _, file in ipairs(info.files or {}) do length = length + file.length end
  count, missing = #info.pieces / 20, #info.pieces / 20
  for index = 0, count - 1 do
    pieces[index] = { holders = 0, digest = info.pieces:sub(20 * index + 1, 20 * index + 20) }
    clear(index)
  end
end

local function make_torrent(name, content)
  local digests, size = {}, p.piece * 1024
  for at = 1, #content, size do digests[#digests + 1] = sha1(content:sub(at, at + size - 1)) end
  return benc.encode {
    announce = ("http://%s:%d/announce"):format(me.ip, me.port),
    info = { name = name, length = #content, ["piece length"] = size,
      pieces = table.concat(digests) },
  }
end

-- Peers: what they have, who chokes whom and is interested, what is under way.
local peers, connected = {}, 0 -- as keys; how many

local function frame(id, ...)
  local parts = { ... }
  for i, part in ipairs(parts) do
    if type(part) == "number" then parts[i] = misc.to_string(part, 4) end
  end
  local body = table.concat(parts)
  return misc.to_string(1 + #body, 4) .. string.char(id) .. body
end

local function send(peer, ...)
  table.insert(peer.out, frame(...))
  events.fire(peer)
end

local function forget(peer, key)
  local piece, block = pieces[math.floor(key / 65536)], key % 65536
  peer.pending[key], peer.under_way = nil, peer.under_way - 1
  piece.asked[block] = piece.asked[block] and piece.asked[block] - 1
  if piece.asked[block] == 0 and not piece.blocks[block] and not piece.data then
    piece.asked[block], piece.free, unasked = nil, piece.free + 1, unasked + 1
  end
end

local function forget_all(peer)
  for _, key in ipairs(misc.table_keyset(peer.pending)) do forget(peer, key) end
end

local function drop(peer)
  if not peers[peer] then return end
  peers[peer], connected = nil, connected - 1
  forget_all(peer)
  for index in pairs(peer.has) do pieces[index].holders = pieces[index].holders - 1 end
  peer.sock:close()
  events.fire(peer)
end

-- The block to ask for next: of a piece begun, else of the rarest; at the end any that is missing
-- though another peer has been asked for it.
local function pick(peer)
  local best, rank
  for index in pairs(peer.has) do
    local piece = pieces[index]
    if not piece.data and (piece.free > 0 or unasked == 0) then
      local begun = piece.left < piece.total or next(piece.asked)
      local score = (begun and 0 or piece.holders) + math.random()
      for block = 0, (not rank or score < rank) and piece.total - 1 or -1 do
        local fresh = not piece.blocks[block] and not peer.pending[index * 65536 + block]
        if fresh and (not piece.asked[block] or unasked == 0) then
          best, rank = { index, block }, score
          break
        end
      end
    end
  end
  return best
end

local function request(peer)
  while not peer.choked and peer.under_way < DEPTH do
    local best = pick(peer)
    if not best then return end
    local index, block = best[1], best[2]
    local piece = pieces[index]
    if not piece.asked[block] then piece.free, unasked = piece.free - 1, unasked - 1 end
    piece.asked[block] = (piece.asked[block] or 0) + 1
    peer.pending[index * 65536 + block], peer.under_way = true, peer.under_way + 1
    send(peer, REQUEST, index, block * BLOCK, block_size(index, block))
  end
end

local function learn(peer, index)
  if not pieces[index] or peer.has[index] then return end
  peer.has[index] = true
  pieces[index].holders = pieces[index].holders + 1
  if pieces[index].data then return end
  peer.useful = peer.useful + 1
  if peer.useful == 1 then send(peer, INTERESTED) end
end

-- A piece is complete: tell all, or begin it again.
local function complete(index)
  local piece, data = pieces[index], {}
  for block = 0, #piece.blocks do data[#data + 1] = piece.blocks[block] end
  data = table.concat(data)
  if sha1(data) ~= piece.digest then
    spoilt = spoilt + 1
    for peer in pairs(piece.givers) do
      peer.spoilt = peer.spoilt + 1
      if peer.spoilt > 2 then drop(peer) end
    end
    return clear(index)
  end
  piece.data, piece.blocks, piece.asked, piece.givers = data, {}, {}, {}
  missing = missing - 1
  for peer in pairs(peers) do
    send(peer, HAVE, index)
    if peer.has[index] then
      peer.useful = peer.useful - 1
      if peer.useful == 0 then send(peer, NOT_INTERESTED) end
    end
  end
end

local function receive_block(peer, index, begin, data)
  local block = begin / BLOCK
  local key, piece = index * 65536 + block, pieces[index]
  if not peer.pending[key] or #data ~= block_size(index, block) then return end
  forget(peer, key)
  peer.received, peer.heard = peer.received + #data, misc.time()
  downloaded = downloaded + #data
  if not piece.data and not piece.blocks[block] then
    if not piece.asked[block] then piece.free, unasked = piece.free - 1, unasked - 1 end
    piece.blocks[block], piece.left, piece.givers[peer] = data, piece.left - 1, true
    for other in pairs(peers) do
      if other.pending[key] then
        forget(other, key)
        send(other, CANCEL, index, begin, #data)
      end
    end
    if piece.left == 0 then complete(index) end
  end
end

local handlers = {
  [CHOKE] = function(peer)
    peer.choked = true
    forget_all(peer)
  end,
  [UNCHOKE] = function(peer) peer.choked = false end,
  [INTERESTED] = function(peer) peer.interested = true end,
  [NOT_INTERESTED] = function(peer) peer.interested = false end,
  [HAVE] = function(peer, body) learn(peer, number(body, 1)) end,
  [BITFIELD] = function(peer, body)
    for index = 0, count - 1 do
      if bits.is_set(body, index + 1) then learn(peer, index) end
    end
  end,
  [REQUEST] = function(peer, body)
    local asked = { number(body, 1), number(body, 5), number(body, 9) }
    if peer.choking or #peer.requests > 500 or asked[3] > LONGEST / 2
      or not (pieces[asked[1]] or {}).data then return end
    peer.requests[#peer.requests + 1] = asked
    events.fire(peer)
  end,
  [PIECE] = function(peer, body)
    receive_block(peer, number(body, 1), number(body, 5), body:sub(9))
  end,
  [CANCEL] = function(peer, body)
    for i = #peer.requests, 1, -1 do
      local asked = peer.requests[i]
      if asked[1] == number(body, 1) and asked[2] == number(body, 5) then
        table.remove(peer.requests, i)
      end
    end
  end,
}

local free_at = 0 -- when the upload rate allows the next piece

local function write(peer)
  while peers[peer] do
    local message = table.concat(peer.out)
    peer.out = {}
    local asked = message == "" and table.remove(peer.requests, 1)
    if asked then
      local data = pieces[asked[1]].data:sub(asked[2] + 1, asked[2] + asked[3])
      message = frame(PIECE, asked[1], asked[2], data)
      peer.sent, uploaded = peer.sent + #data, uploaded + #data
      free_at = math.max(free_at, misc.time()) + (p.rate > 0 and #data / p.rate / 1024 or 0)
      events.sleep(free_at - misc.time())
    elseif message == "" and not events.wait(peer, 100) then
      message = "\0\0\0\0" -- the connection is still wanted
    end
    if message ~= "" and not peer.sock:send(message) then return drop(peer) end
  end
end

local function read(peer)
  while true do
    local head = peer.sock:receive(4)
    local size = head and misc.to_int(head)
    if not head or size > LONGEST then return end
    local body = size > 0 and peer.sock:receive(size)
    if body == nil then return end
    local handler = body and handlers[body:byte()]
    if handler then handler(peer, body:sub(2)) end
    request(peer)
    -- Two that have everything have nothing to say to each other.
    if missing == 0 and misc.size(peer.has) == count then return end
  end
end

-- Speaks with a peer until one of both goes; `start` is what it has said already.
local function talk(sock, start)
  local hello = "\19BitTorrent protocol" .. ("\0"):rep(8) .. info_hash .. peer_id
  if not start and not sock:send(hello) then return end
  sock:settimeout(30)
  local theirs = (start or "") .. (sock:receive(68 - #(start or "")) or "")
  if theirs:sub(1, 20) ~= hello:sub(1, 20) or theirs:sub(29, 48) ~= info_hash then return end
  local id = theirs:sub(49)
  if id == peer_id or start and not sock:send(hello) then return end
  for other in pairs(peers) do
    if other.id == id then -- of two connections, the one begun by the lesser id stays
      if other.mine == not start or (peer_id < id) ~= not start then return end
      drop(other)
    end
  end
  sock:settimeout(240)
  local peer = { sock = sock, id = id, mine = not start, has = {}, pending = {}, under_way = 0,
    out = {}, requests = {}, useful = 0, spoilt = 0, sent = 0, received = 0,
    heard = misc.time(), choked = true, choking = true, interested = false }
  peers[peer], connected = true, connected + 1
  local have = {}
  for index = 0, count - 1 do have[index + 1] = pieces[index].data ~= nil end
  if missing < count then send(peer, BITFIELD, bits.bits_to_ascii(have)) end
  events.thread(function() write(peer) end)
  pcall(read, peer) -- what it says may be nonsense
  drop(peer)
end

-- Tit for tat: the best givers, or takers once the file is here, may take; and one more, in turn.
local round, optimistic = 0, nil
local function rechoke()
  local wanting, open = {}, {}
  for peer in pairs(peers) do
    if peer.interested then wanting[#wanting + 1] = peer end
    if peer.under_way > 0 and misc.time() > peer.heard + 30 * p.period then forget_all(peer) end
  end
  wanting = misc.shuffle(wanting)
  local function worth(peer) return missing == 0 and peer.sent or peer.received end
  table.sort(wanting, function(a, b) return worth(a) > worth(b) end)
  for i = 1, p.slots - 1 do open[wanting[i] or 0] = true end
  round = round + 1
  if round % 3 == 1 or not peers[optimistic] or not optimistic.interested then
    optimistic = wanting[math.random(math.min(p.slots, #wanting), #wanting)]
  end
  open[optimistic or 0] = true
  for peer in pairs(peers) do
    if peer.choking == (open[peer] or false) then
      peer.choking = not open[peer]
      send(peer, peer.choking and CHOKE or UNCHOKE)
      if peer.choking then peer.requests = {} end
    end
    peer.sent, peer.received = peer.sent / 2, peer.received / 2
    request(peer)
  end
end

-- The tracker, in the first node.
local swarm = {} -- by address in six bytes: when it was heard, what it lacks

local function track(query, ip)
  local q, others, seeds = {}, {}, 0
  for name, value in query:gmatch("([^&=]+)=([^&]*)") do q[name] = url.unescape(value) end
  local a, b, c, d = ip:match("(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if q.info_hash ~= info_hash or not a or not tonumber(q.port) then
    return { ["failure reason"] = "unknown torrent or address" }
  end
  local address = string.char(a, b, c, d) .. misc.to_string(tonumber(q.port), 2)
  for other, state in pairs(swarm) do
    if misc.time() > state.heard + 30 * p.period then swarm[other] = nil
    elseif other ~= address then others[#others + 1] = other end
    if state.left == "0" then seeds = seeds + 1 end
  end
  swarm[address] = q.event ~= "stopped" and { heard = misc.time(), left = q.left } or nil
  return { interval = math.ceil(10 * p.period), complete = seeds, incomplete = #others + 1 - seeds,
    peers = table.concat(misc.random_pick(others, tonumber(q.numwant) or 50)) }
end

-- One port for all: peers begin with the byte 19, those who ask the tracker with GET. Who begins
-- with an encrypted handshake comes again with a plain one.
local function accept(sock)
  sock:settimeout(30)
  local first = sock:receive(1)
  if first == "\19" then return connected < 2 * p.peers and talk(sock, first) end
  if first ~= "G" or sock:receive(3) ~= "ET " then return end
  local path, query = (sock:receive("*l") or ""):match("^(/[^? ]*)%??(%S*) HTTP")
  while (sock:receive("*l") or "") ~= "" do end
  local body = path == "/torrent" and torrent
    or path == "/announce" and benc.encode(track(query, (sock:getpeername())))
  sock:send(("HTTP/1.0 %s\r\nContent-Type: application/x-bittorrent\r\nContent-Length: %d\r\n\r\n")
    :format(body and "200 OK" or "404 Not Found", #(body or "")) .. (body or ""))
end

local function find_peers()
  while true do
    local reply = http.request(("%s%sinfo_hash=%s&peer_id=%s&port=%d&uploaded=%d&downloaded=%d"
      .. "&left=%d&compact=1"):format(announce, announce:find("?", 1, true) and "&" or "?",
      url.escape(info_hash), url.escape(peer_id), me.port, uploaded, downloaded,
      missing * info["piece length"]))
    local ok, answer = pcall(benc.decode, reply or "")
    local list = ok and answer.peers or ""
    for at = 1, missing > 0 and #list or 0, 6 do
      local ip = ("%d.%d.%d.%d"):format(list:byte(at, at + 3))
      local port = misc.to_int(list:sub(at + 4, at + 5))
      if connected < p.peers then
        events.thread(function() net.client(ip, port, function(sock) talk(sock) end, 10) end)
      end
    end
    events.sleep(math.max(p.period, ok and answer.interval or 2 * p.period))
  end
end

-- Takes the pieces of a file that are what they should be.
local function restore(content)
  for index, piece in pairs(pieces) do
    local at = index * info["piece length"]
    local data = content:sub(at + 1, at + size_of(index))
    if sha1(data) == piece.digest then
      unasked, missing = unasked - piece.free, missing - 1
      piece.data, piece.free, piece.left = data, 0, 0
    end
  end
end

-- Check ---------------------------------------------------------------------------------------

local whole, duration -- digest of the file, seconds it took

local function read_file(name)
  local file = assert(io.open(name, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end

local function save_when_complete()
  local start = misc.time()
  while missing > 0 do events.sleep(p.period / 4) end
  local content = {}
  for index = 0, count - 1 do content[index + 1] = pieces[index].data end
  content, duration = table.concat(content), misc.time() - start
  whole = crypto.evp.digest("sha1", content)
  if p.save == "" then return end
  local file = assert(io.open(p.save .. "-" .. me.port, "wb"))
  file:write(content)
  file:close()
end

function report()
  return { whole = whole, missing = missing, downloaded = downloaded, uploaded = uploaded,
    duration = duration }
end

local function property()
  local nodes, reason = proof.alive(rpc, p.crash)
  if not nodes then return nil, reason end
  local reports = parallel.ask(rpc, nodes, "report")
  local got, slowest = 0, 0
  for i, node in ipairs(nodes) do
    local r = reports[i]
    if not r or not r.whole then return nil, ("%d lacks pieces"):format(node.port) end
    if r.whole ~= whole then return nil, ("%d has another file"):format(node.port) end
    got, slowest = got + r.downloaded, math.max(slowest, r.duration)
  end
  if #nodes == job.total and job.total > 3 and uploaded > got * 3 / 4 then
    return nil, "the first node has sent most"
  end
  return true, ("%d nodes, %d pieces, %.1f s, %.0f %% from the first node"):format(
    #nodes, count, slowest, got > 0 and 100 * uploaded / got or 0)
end

events.run(function()
  assert(rpc.server(me.port))
  local content
  if job.position == 1 and p.seed ~= "" then content = read_file(p.seed)
  elseif job.position == 1 and p.torrent == "" then content = crypto.rand.bytes(p.size * 1024) end
  local name = (p.seed == "" and "random" or p.seed):match("[^/]*$")
  local bytes = p.torrent ~= "" and read_file(p.torrent)
    or content and make_torrent(name, content)
  while not bytes do
    events.sleep(p.period / 4)
    local first = ("http://%s:%d/torrent"):format(job.nodes[1].ip, job.nodes[1].port)
    local body, code = http.request(first)
    bytes = code == 200 and body
  end
  open_torrent(bytes)
  if content then restore(content) end
  assert(net.server(me.port, accept))
  events.thread({ find_peers, save_when_complete })
  events.periodic(p.period, rechoke)
  cli.crash(p.crash, 10 * p.period)
  proof.judge { what = "file", rpc = rpc, property = property, limit = 120 + 60 * p.period,
    stay = p.stay }
end)
