#!lua flags=allow-oom
-- Campaigns that were seen to be finished long ago; whoever is given one forgets it, and others look at it later.
--
-- KEYS  1  penstock:{inbox}:finished  zset  see retire.lua
-- ARGV  1  finished by then   2  how many at most   3  seconds until others look: should this caller die

local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, campaign in ipairs(old) do
  redis.call('ZADD', KEYS[1], ARGV[1] + ARGV[3], campaign)
end
return old
