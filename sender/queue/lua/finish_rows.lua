#!lua flags=allow-oom
-- A campaign has no more rows to expand: it is looked at from now on for whether it is finished.
--
-- KEYS  1  penstock:{inbox}:ended  zset  see retire.lua
--       2  penstock:{inbox}:open   zset  see open.lua
-- ARGV  1  campaign
-- Gives 1, or 0 when it is told again.

redis.call('ZADD', KEYS[1], 'NX', 0, ARGV[1])
return redis.call('ZREM', KEYS[2], ARGV[1])
