#!lua flags=allow-oom
-- Campaigns are forgotten everywhere else: from now on their ids are new ones.
--
-- KEYS  1  penstock:{inbox}:known      zset  see open.lua
--       2  penstock:{inbox}:finished   zset  see retire.lua
--       3  penstock:{inbox}:ended      zset  see retire.lua
--       4  penstock:{inbox}:scheduled  set   see open.lua
--       5  penstock:{inbox}:control    hash  see control.lua
-- ARGV  campaigns

for _, campaign in ipairs(ARGV) do
  redis.call('ZREM', KEYS[1], campaign)
  redis.call('ZREM', KEYS[2], campaign)
  redis.call('ZREM', KEYS[3], campaign)
  redis.call('SREM', KEYS[4], campaign)
  redis.call('HDEL', KEYS[5], campaign)
end
