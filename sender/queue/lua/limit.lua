#!lua flags=allow-oom
-- Limit a campaign's rate in one partition: from now on it leases what `grant` permits. Or lift that.
--
-- KEYS  1  P budget  hash  see route.lua
--       2  P asides  zset  see route.lua: who is there is looked at again at once
-- ARGV  1  campaign   2  1 limited or 0
-- Gives 1, or 0 when it is told again.

if ARGV[2] == '1' then
  return redis.call('HSETNX', KEYS[1], ARGV[1], 0)
end
redis.call('ZADD', KEYS[2], 'XX', 0, ARGV[1])
redis.call('HDEL', KEYS[1], '#' .. ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
