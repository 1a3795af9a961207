-- Library, put in front of every script that moves packs: the ready work of a route.
--
-- P is the key prefix of one partition, penstock:{pNN}: ; all keys below share its hash tag. Which campaigns wait in a
-- route is not known to the caller, so the keys that name a campaign are computed here and can't be declared in KEYS.
--   P routes                    zset  route -> when the oldest ready envelope that may be leased here was queued
--   P turns:<route>             zset  campaign in line -> priority * CLASS + envelopes granted: the smallest goes next
--   P ages:<route>              zset  campaign in line -> when its oldest ready envelope here was queued
--   P packs:<campaign>:<route>  zset  pack -> when its oldest envelope was queued; equal ones stand by first ordinal. Those of
--                                     band 2; beside them packs0:, packs1:, packs3: of the other bands (engagement.py)
--   P owned                     zset  own route of a source, once something was ready there: see unbind.lua
--   P where:<campaign>          hash  route with ready packs of it, in line or set aside -> how many envelopes
--   P later:<campaign>          zset  route NUL pack -> when it is due
--   P due                       zset  campaign -> when the first of its later packs is due
--   P holds                     hash  campaign -> "<start> <end>": not leased from start until before end; end may be inf
--   P budget                    hash  campaign with a limited rate -> envelopes it may still lease here; "#<campaign>" ->
--                                     the last grant that was added
--   P aside:<campaign>          set   routes where it waits beside the line, held or without budget
--   P asides                    zset  campaign with such routes -> when to look whether they may line up again
--   P waiting                   hash  "ready <route>", "leased", "later", "parked" -> envelopes; "aside <route>" -> how many of the
--                                     ready ones are set aside
--   P count:<campaign>          hash  "=accepted", "=chunk", "=priority", "<state> <receiver>", "deferred <receiver>";
--                                     "=scheduled": it was held at its start; "=bands": it has had packs of other bands than 2;
--                                     "=spill": "<seconds> <start>", where warm lanes leave it to those that warm up; receivers
--                                     without a profile are "other" where there would be too many: see `count`
--
-- A route is "<pool>/<receiver>", or "<pool>@<source>/<receiver>": that source's own, for what no other may try.
-- A campaign that has ready packs on a route is in its `where`, and there either in line (in turns and ages) or set aside.
-- Stores of earlier programs also have P later, a zset of route NUL campaign NUL pack: promote.lua moves it over.
--
-- Fair share: start-time fair queueing, counted in envelopes (the same rules as fairshare.py).

local BAND, ALL_BANDS = 2, { 3, 2, 1, 0 } -- the band of who has no score, and all of them, the most engaged first
local CLASS = 1e14 -- more envelopes than one campaign can be granted; 9 * CLASS + CLASS is still exact in a double

-- Octets that are no pack have no age and count as one envelope, so that no script fails half-way over them and no number
-- of theirs is believed: whoever leases them finds out and parks them. `counted` in pack.py says the same.
local function pack_age(pack)
  local age = #pack >= 21 and struct.unpack('>d', pack, 2)
  return age == age and age or 0 -- NaN is no age
end

local function pack_size(pack)
  local size = #pack >= 21 and struct.unpack('>I4', pack, 18)
  return size and size >= 1 and size <= 1000 and size or 1
end

local function pack_first(pack)
  if #pack < 21 then
    return 0
  end
  local high, low = struct.unpack('>I4I4', pack, 10)
  return high * 4294967296 + low
end

-- Version 2 of the header says it; what can't be read is like a pack without.
local function pack_band(pack)
  local band = #pack >= 22 and string.byte(pack, 1) == 2 and string.byte(pack, 22)
  return band and band <= 3 and band or BAND
end

-- Bands that the campaign may have packs of: most campaigns have one, and nobody looks for others.
local several = {} -- campaign -> whether it may have others

local function bands_of(P, campaign)
  if several[campaign] == nil then
    several[campaign] = redis.call('HEXISTS', P .. 'count:' .. campaign, '=bands') == 1
  end
  return several[campaign] and ALL_BANDS or { BAND }
end

local function packs_key(P, campaign, route, band)
  return P .. 'packs' .. (band == BAND and '' or band) .. ':' .. campaign .. ':' .. route
end

-- The oldest ready pack of the campaign on the route, when it was queued, and its band; nothing where there is none.
local function oldest(P, campaign, route)
  local pack, age, found
  for _, band in ipairs(bands_of(P, campaign)) do
    local head = redis.call('ZRANGE', packs_key(P, campaign, route, band), 0, 0, 'WITHSCORES')
    local younger = pack and head[2] and (tonumber(head[2]) > tonumber(age)
      or (tonumber(head[2]) == tonumber(age) and pack_first(head[1]) >= pack_first(pack)))
    if head[2] and not younger then
      pack, age, found = head[1], head[2], band
    end
  end
  return pack, age, found
end

local function pop(P, campaign, route, band)
  return redis.call('ZPOPMIN', packs_key(P, campaign, route, band))[1]
end

local function pop_oldest(P, campaign, route)
  if #bands_of(P, campaign) == 1 then
    return pop(P, campaign, route, BAND)
  end
  local _, _, band = oldest(P, campaign, route)
  return band and pop(P, campaign, route, band)
end

-- Count envelopes of the campaign on the route: "delivered", "deferred" ... Receivers without a profile ("~example.net") have
-- counters of their own while there are few: whoever looks at a campaign reads all of them.
local COUNTERS = 500

local function count(P, campaign, what, route, size)
  local counts, receiver = P .. 'count:' .. campaign, string.match(route, '/(.*)$')
  local name = what .. ' ' .. receiver
  if string.sub(receiver, 1, 1) == '~' and redis.call('HEXISTS', counts, name) == 0
    and (size < 0 or redis.call('HLEN', counts) >= COUNTERS) then
    name = what .. ' other'
  end
  return redis.call('HINCRBY', counts, name, size), name
end

local function count_aside(P, route, size)
  if redis.call('HINCRBY', P .. 'waiting', 'aside ' .. route, size) <= 0 then
    redis.call('HDEL', P .. 'waiting', 'aside ' .. route)
  end
end

-- The campaign's work on the route may be leased. Who joins the line starts level with the one that got least.
local function line_up(P, route, campaign, age)
  local turns = P .. 'turns:' .. route
  if not redis.call('ZSCORE', turns, campaign) then
    local class = (tonumber(redis.call('HGET', P .. 'count:' .. campaign, '=priority')) or 0) * CLASS
    local level = redis.call('ZRANGEBYSCORE', turns, class, '(' .. (class + CLASS), 'WITHSCORES', 'LIMIT', 0, 1)
    redis.call('ZADD', turns, level[2] or class, campaign)
  end
  redis.call('ZADD', P .. 'ages:' .. route, 'LT', age, campaign)
  redis.call('ZADD', P .. 'routes', 'LT', age, route)
end

-- Make a pack ready; the same pack twice is one.
local function put(P, route, campaign, pack)
  local age, size, band = pack_age(pack), pack_size(pack), pack_band(pack)
  if redis.call('ZADD', packs_key(P, campaign, route, band), age, pack) == 0 then
    return 0
  end
  if band ~= BAND then
    redis.call('HSET', P .. 'count:' .. campaign, '=bands', 1)
    several[campaign] = true
  end
  if string.find(route, '^[^/]*@') then
    redis.call('ZADD', P .. 'owned', 'NX', 0, route)
  end
  redis.call('HINCRBY', P .. 'waiting', 'ready ' .. route, size)
  local first = redis.call('HINCRBY', P .. 'where:' .. campaign, route, size) == size -- nothing here, so nothing set aside
  if not first and redis.call('SISMEMBER', P .. 'aside:' .. campaign, route) == 1 then
    count_aside(P, route, size)
  else
    line_up(P, route, campaign, age)
  end
  return size
end

-- The line of a route has changed: bring up to date since when work waits there that may be leased; `left` envelopes at all.
local function line_changed(P, route, left)
  local head = redis.call('ZRANGE', P .. 'ages:' .. route, 0, 0, 'WITHSCORES')
  if head[2] then
    redis.call('ZADD', P .. 'routes', head[2], route)
  else
    redis.call('ZREM', P .. 'routes', route)
    if left <= 0 or redis.call('HEXISTS', P .. 'waiting', 'aside ' .. route) == 0 then
      redis.call('HDEL', P .. 'waiting', 'ready ' .. route, 'aside ' .. route)
    end
  end
end

-- Packs of this campaign with so many envelopes were taken from the route.
local function taken(P, route, campaign, size)
  local left = redis.call('HINCRBY', P .. 'waiting', 'ready ' .. route, -size)
  local _, age = oldest(P, campaign, route)
  if age then
    redis.call('HINCRBY', P .. 'where:' .. campaign, route, -size)
    redis.call('ZADD', P .. 'ages:' .. route, 'XX', age, campaign) -- XX: not where it is set aside
  else
    redis.call('ZREM', P .. 'ages:' .. route, campaign)
    redis.call('ZREM', P .. 'turns:' .. route, campaign)
    redis.call('HDEL', P .. 'where:' .. campaign, route)
  end
  line_changed(P, route, left)
end

-- Packs were taken from what the campaign has for later: bring up to date when the first of the rest is due.
local function later_changed(P, campaign)
  local first = redis.call('ZRANGE', P .. 'later:' .. campaign, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', P .. 'due', first[2], campaign)
  else
    redis.call('ZREM', P .. 'due', campaign)
  end
end

-- How many envelopes of the campaign may be leased now, math.huge where nothing says; if none, until when to wait.
local function permitted(P, campaign, now)
  local hold = redis.call('HGET', P .. 'holds', campaign)
  if hold then
    local start, stop = string.match(hold, '^(%S+) (%S+)$')
    if now >= tonumber(start) and now < tonumber(stop) then
      return 0, stop
    end
  end
  local left = redis.call('HGET', P .. 'budget', campaign)
  return left and tonumber(left) or math.huge, 'inf' -- until `grant` says otherwise
end

-- Envelopes that were leased come back untried: they have used up nothing of a limited rate.
local function refund(P, campaign, size)
  if redis.call('HEXISTS', P .. 'budget', campaign) == 1 then
    redis.call('HINCRBY', P .. 'budget', campaign, size)
    redis.call('ZADD', P .. 'asides', 'XX', 0, campaign)
  end
end

-- The campaign leaves the line of this route, until `wake` looks at it.
local function set_aside(P, route, campaign, again)
  redis.call('ZREM', P .. 'turns:' .. route, campaign)
  redis.call('ZREM', P .. 'ages:' .. route, campaign)
  if oldest(P, campaign, route) then
    redis.call('SADD', P .. 'aside:' .. campaign, route)
    redis.call('ZADD', P .. 'asides', again, campaign)
    local size = redis.call('HINCRBY', P .. 'where:' .. campaign, route, 0) -- 0 where earlier programs put it: they kept none
    redis.call('HINCRBY', P .. 'waiting', 'aside ' .. route, size)
  end
  line_changed(P, route, math.huge)
end

-- Let up to `most` routes of the campaign line up again, as far as it may be leased; gives how many did.
-- A limited rate lets no more routes line up than it has envelopes left, and some others a second later.
local function wake(P, campaign, now, most)
  local may, again = permitted(P, campaign, now)
  local woken = 0
  if may > 0 then
    for _, route in ipairs(redis.call('SPOP', P .. 'aside:' .. campaign, math.min(most, may))) do
      count_aside(P, route, -(tonumber(redis.call('HGET', P .. 'where:' .. campaign, route)) or 0))
      local _, age = oldest(P, campaign, route)
      if age then
        line_up(P, route, campaign, age)
        woken = woken + 1
      end
    end
    again = may < math.huge and now + 1 or now
  end
  if redis.call('EXISTS', P .. 'aside:' .. campaign) == 1 then
    redis.call('ZADD', P .. 'asides', again, campaign)
  else
    redis.call('ZREM', P .. 'asides', campaign)
  end
  return woken
end
