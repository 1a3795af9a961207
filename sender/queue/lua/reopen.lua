#!lua flags=allow-oom
-- A campaign is to have envelopes again: it is not finished, whenever that was seen.
--
-- KEYS  1  penstock:{inbox}:ended     zset  see retire.lua
--       2  penstock:{inbox}:finished  zset  see retire.lua
--       3  penstock:{inbox}:known     zset  see open.lua
-- ARGV  1  campaign   2  when to look whether it is finished
-- Gives 1, or 0 where no such campaign is known.

if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then
  return 0
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
