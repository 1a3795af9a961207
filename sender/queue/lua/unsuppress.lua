#!lua flags=allow-oom
-- Let addresses have mail again.
--
-- KEYS  1  penstock:{suppress}:all, or :list:<name>  hash  see suppress.lua
--       2  penstock:{suppress}:expiring              zset
--       3  penstock:{suppress}:lists                 zset
-- ARGV  1  the list's name, "" for all   then digests
-- Gives how many there were: none when it is told again.

local removed = 0
for place = 2, #ARGV do
  removed = removed + redis.call('HDEL', KEYS[1], ARGV[place])
  redis.call('ZREM', KEYS[2], ARGV[place] .. ARGV[1])
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return removed
