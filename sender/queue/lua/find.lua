#!lua flags=no-writes
-- Packs of one partition that may hold an envelope, the likeliest first: only headers can be read here.
--
-- KEYS  1  P leases            hash  see lease.lua
--       2  P where:<campaign>  hash  see route.lua
--       3  P later:<campaign>  zset  see route.lua
--       4  P aside:<campaign>  set   see route.lua
--       5  P holds             hash  see route.lua
--       6  P budget            hash  see route.lua
--       computed, because routes and leases come up here:
--       P packs:<campaign>:<route>  zset    see route.lua; and those of other bands
--       P lease:<id>                hash    see lease.lua
--       P settled:<id>              bitmap  see settle.lua
-- ARGV  1  P   2  campaign   3  ordinal   4  routes and leases looked at, at most, of each; four times as many later packs
--       5  octets of packs that are given, at most   6  packs of each route looked at: the likeliest, and so many to either side
-- Gives {whole, hold, budget, packs}; whole: 1 where nothing was left out. A pack comes as one of
--   {"leased", pack, owner, lane, route, settled, position of its first envelope, the lease's size}
--   {"ready", pack, route, aside, packs before it, packs of the campaign on the route, its envelopes on the route}
--   {"later", pack, route, due}

local P, campaign, ordinal, limit, octets = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local around = tonumber(ARGV[6])
local found, whole = {}, 1

local function header(pack)
  if #pack < 21 then
    return nil, 0
  end
  local high, low, count = struct.unpack('>I4I4I4', pack, 10)
  return high * 4294967296 + low, count
end

-- Likeliest is a pack that begins shortly before the ordinal.
local function consider(pack, what)
  local first, count = header(pack)
  if first and (count > 1 or first == ordinal) then
    local far = first <= ordinal and ordinal - first or 1e12 + first
    found[#found + 1] = { far, pack, what }
  end
end

local function in_lease(id)
  local record = P .. 'lease:' .. id
  local held = redis.call('HMGET', record, 'campaign', 'owner', 'lane', 'route', 'size')
  if held[1] == campaign then
    local settled, position, place = redis.call('GET', P .. 'settled:' .. id) or '', 0, 1
    local pack = redis.call('HGET', record, place)
    while pack do
      consider(pack, { 'leased', pack, held[2], held[3], held[4], settled, position, held[5] })
      local _, count = header(pack)
      position, place = position + math.max(count, 1), place + 1
      pack = redis.call('HGET', record, place)
    end
  end
end

local function in_band(key, route, envelopes)
  local packs = redis.call('ZCARD', key)
  if packs == 0 then
    return
  end
  local low, high = 0, packs -- the place of the first pack that begins behind the ordinal
  while low < high do
    local middle = math.floor((low + high) / 2)
    local first = header(redis.call('ZRANGE', key, middle, middle)[1])
    if first and first <= ordinal then
      low = middle + 1
    else
      high = middle
    end
  end
  -- Packs as the expander made them follow each other; those that came back overlap others, and may lie beside the place.
  local start, stop = math.max(0, low - 1 - around), math.max(0, low - 1 + around)
  for place, pack in ipairs(redis.call('ZRANGE', key, start, stop)) do
    consider(pack, { 'ready', pack, route, 0, start + place - 1, packs, envelopes })
  end
  if stop - start + 1 < packs then
    whole = 0
  end
end

local function on_route(route, envelopes)
  for _, band in ipairs({ '3', '', '1', '0' }) do
    in_band(P .. 'packs' .. band .. ':' .. campaign .. ':' .. route, route, envelopes)
  end
end

local function each(total, most, pairs_of, look)
  for place = 1, math.min(#pairs_of, 2 * most), 2 do
    look(pairs_of[place], pairs_of[place + 1])
  end
  if total > most then
    whole = 0
  end
end

local leases, routes = redis.call('HLEN', KEYS[1]), redis.call('HLEN', KEYS[2])
local function some_of(key, total)
  return total <= limit and redis.call('HGETALL', key) or redis.call('HSCAN', key, 0, 'COUNT', limit)[2]
end

each(leases, limit, some_of(KEYS[1], leases), in_lease)
each(routes, limit, some_of(KEYS[2], routes), on_route)
each(redis.call('ZCARD', KEYS[3]), 4 * limit, redis.call('ZRANGE', KEYS[3], 0, 4 * limit - 1, 'WITHSCORES'), function(member, due)
  local route, pack = string.match(member, '^(%Z+)%z(.+)$')
  if pack then
    consider(pack, { 'later', pack, route, due })
  end
end)

table.sort(found, function(one, other)
  return one[1] < other[1]
end)
local packs = {}
for _, candidate in ipairs(found) do
  octets = octets - #candidate[2]
  if octets < 0 and #packs > 0 then
    whole = 0
    break
  end
  local what = candidate[3]
  if what[1] == 'ready' then
    what[4] = redis.call('SISMEMBER', KEYS[4], what[3])
  end
  packs[#packs + 1] = what
end
return { whole, redis.call('HGET', KEYS[5], campaign) or '', redis.call('HGET', KEYS[6], campaign) or '', packs }
