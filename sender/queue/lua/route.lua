-- Library, put in front of every script that moves packs: the ready work of a route.
--
-- P is the key prefix of one partition, penstock:{pNN}: ; all keys below share its hash tag. Which campaigns wait in a
-- route is not known to the caller, so the keys that name a campaign are computed here and can't be declared in KEYS.
--   P routes                    zset  route -> when its oldest ready envelope was queued
--   P turns:<route>             zset  campaign -> priority * CLASS + envelopes granted: the smallest goes next
--   P ages:<route>              zset  campaign -> when its oldest ready envelope here was queued
--   P packs:<campaign>:<route>  zset  pack -> when its oldest envelope was queued; equal ones stand by first ordinal
--   P waiting                   hash  "ready <route>", "leased", "later" -> envelopes
--   P count:<campaign>          hash  "=accepted", "=chunk", "=priority", "<state> <receiver>", "deferred <receiver>"
--
-- Fair share: start-time fair queueing, counted in envelopes (the same rules as fairshare.py).

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

-- Make a pack ready; the same pack twice is one.
local function put(P, route, campaign, pack)
  local age, size = pack_age(pack), pack_size(pack)
  if redis.call('ZADD', P .. 'packs:' .. campaign .. ':' .. route, age, pack) == 0 then
    return 0
  end
  local turns = P .. 'turns:' .. route
  if not redis.call('ZSCORE', turns, campaign) then
    local class = (tonumber(redis.call('HGET', P .. 'count:' .. campaign, '=priority')) or 0) * CLASS
    local level = redis.call('ZRANGEBYSCORE', turns, class, '(' .. (class + CLASS), 'WITHSCORES', 'LIMIT', 0, 1)
    redis.call('ZADD', turns, level[2] or class, campaign)
  end
  redis.call('ZADD', P .. 'ages:' .. route, 'LT', age, campaign)
  redis.call('ZADD', P .. 'routes', 'LT', age, route)
  redis.call('HINCRBY', P .. 'waiting', 'ready ' .. route, size)
  return size
end

-- Packs of this campaign were taken from the route: bring ages and turns up to date.
local function taken(P, route, campaign)
  local head = redis.call('ZRANGE', P .. 'packs:' .. campaign .. ':' .. route, 0, 0, 'WITHSCORES')
  if head[2] then
    redis.call('ZADD', P .. 'ages:' .. route, head[2], campaign)
  else
    redis.call('ZREM', P .. 'ages:' .. route, campaign)
    redis.call('ZREM', P .. 'turns:' .. route, campaign)
  end
  local oldest = redis.call('ZRANGE', P .. 'ages:' .. route, 0, 0, 'WITHSCORES')
  if oldest[2] then
    redis.call('ZADD', P .. 'routes', oldest[2], route)
  else
    redis.call('ZREM', P .. 'routes', route)
    redis.call('HDEL', P .. 'waiting', 'ready ' .. route)
  end
end
