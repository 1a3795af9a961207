#!lua flags=allow-oom
-- Forget what is parked of a campaign: it stays UNKNOWN.
--
-- KEYS  1  P doubts:<campaign>  hash  see settle.lua
--       2  P doubted            set   campaigns with something parked here
--       3  P waiting            hash  see route.lua
--       4  P count:<campaign>   hash  see route.lua
-- ARGV  1  campaign   then ordinals; without any, all
-- Gives how many there were.

local dropped = 0
if #ARGV > 1 then
  for first = 2, #ARGV, 1000 do
    dropped = dropped + redis.call('HDEL', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
  end
else
  dropped = redis.call('HLEN', KEYS[1])
  redis.call('UNLINK', KEYS[1])
end
if dropped > 0 then
  redis.call('HINCRBY', KEYS[3], 'parked', -dropped)
  redis.call('HINCRBY', KEYS[4], '=parked', -dropped)
end
if redis.call('HLEN', KEYS[1]) == 0 then
  redis.call('SREM', KEYS[2], ARGV[1])
end
return dropped
