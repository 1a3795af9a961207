#!lua flags=allow-oom
-- Queue parked envelopes again: they are UNKNOWN no more. With route.lua.
--
-- KEYS  1  P doubts:<campaign>  hash  see settle.lua
--       2  P doubted            set   campaigns with something parked here
--       3  P waiting            hash  see route.lua
--       4  P count:<campaign>   hash  see route.lua
--       computed: those of route.lua
-- ARGV  1  P   2  campaign   3  {{route, {ordinal ...}} ...}, MessagePack   then a pack for each
-- Gives the numbers, from 0, of the packs of which not all was parked any more: the caller packs what is.

local P, campaign = ARGV[1], ARGV[2]
local partly = {}
for number, group in ipairs(cmsgpack.unpack(ARGV[3])) do
  local route, ordinals, whole = group[1], group[2], true
  for _, ordinal in ipairs(ordinals) do
    whole = whole and redis.call('HEXISTS', KEYS[1], ordinal) == 1
  end
  if whole then
    redis.call('HDEL', KEYS[1], unpack(ordinals))
    redis.call('HINCRBY', KEYS[3], 'parked', -#ordinals)
    redis.call('HINCRBY', KEYS[4], '=parked', -#ordinals)
    local left, name = count(P, campaign, 'unknown', route, -#ordinals)
    if left == 0 then
      redis.call('HDEL', KEYS[4], name)
    end
    put(P, route, campaign, ARGV[3 + number])
  else
    partly[#partly + 1] = number - 1
  end
end
if redis.call('HLEN', KEYS[1]) == 0 then
  redis.call('SREM', KEYS[2], campaign)
end
return partly
