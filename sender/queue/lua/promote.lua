#!lua flags=allow-oom
-- Make what is due ready, campaign by campaign, the one that has waited longest first. With route.lua.
--
-- KEYS  1  P due    zset  campaign -> when the first of its later packs is due
--       2  P later  zset  route NUL campaign NUL pack -> when it is due: as earlier programs kept it
--       computed, because they follow from the members: those of route.lua
-- ARGV  1  P   2  now   3  how many envelopes at most; the first pack goes whatever it holds
-- Gives how many envelopes became ready.
--
-- Members of another form, or of a route that no program of ours would name, were written by somebody else, and can be
-- nobody's mail: they go.

local P, now, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local MOVED = 1000 -- packs of earlier programs moved over in one call
local AT_ONCE = 100 -- packs of one campaign before others are looked at again
local MAX_PACKS = 2000 -- of one call, about: bounds how long the script runs

local earlier = redis.call('ZRANGE', KEYS[2], 0, MOVED - 1, 'WITHSCORES')
for place = 1, #earlier, 2 do
  local route, campaign, pack = string.match(earlier[place], '^([!-~]+/[!-~]+)%z(%Z+)%z(.+)$')
  if pack then
    redis.call('ZADD', P .. 'later:' .. campaign, earlier[place + 1], struct.pack('s', route) .. pack)
    redis.call('ZADD', KEYS[1], 'LT', earlier[place + 1], campaign)
  end
  redis.call('ZREM', KEYS[2], earlier[place])
end

local promoted, packs, full = 0, 0, false

local function promote(campaign)
  local later = P .. 'later:' .. campaign
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
    local route, pack = string.match(member, '^([!-~]+/[!-~]+)%z(.+)$')
    local size = pack and pack_size(pack) or 0
    full = promoted > 0 and promoted + size > limit
    if full then
      return
    end
    redis.call('ZREM', later, member)
    packs = packs + 1
    if pack then
      redis.call('HINCRBY', P .. 'waiting', 'later', -size)
      put(P, route, campaign, pack)
      promoted = promoted + size
    end
  end
end

while promoted < limit and packs < MAX_PACKS and not full do
  local campaign = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1]
  if not campaign then
    break
  end
  promote(campaign)
  later_changed(P, campaign)
end
return promoted
