#!lua flags=allow-oom
-- Note which campaigns were seen to be finished, and when to look at the others again.
--
-- KEYS  1  penstock:{inbox}:ended     zset  campaign -> when to look whether it is finished
--       2  penstock:{inbox}:finished  zset  campaign -> when it was seen to be
-- ARGV  1  now   2  when to look again   then pairs: campaign, 1 where it is finished or 0

for place = 3, #ARGV, 2 do
  if ARGV[place + 1] == '1' then
    redis.call('ZADD', KEYS[2], 'NX', ARGV[1], ARGV[place])
    redis.call('ZREM', KEYS[1], ARGV[place])
  else
    redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[place])
  end
end
