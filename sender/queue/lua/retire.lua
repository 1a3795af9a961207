#!lua flags=allow-oom
-- Note which campaigns were seen to be finished, and when to look at the others again.
--
-- KEYS  1  penstock:{inbox}:ended     zset  campaign -> when to look whether it is finished
--       2  penstock:{inbox}:finished  zset  campaign -> when it was seen to be
--       3  penstock:{inbox}:scheduled  set  campaigns that a scheduler has to look after
-- ARGV  1  now   2  when to look again   then pairs: campaign, and 1 where it is finished, "parked" where some of it may be
--       sent again, else 0

for place = 3, #ARGV, 2 do
  local campaign, finished = ARGV[place], ARGV[place + 1]
  if finished == '0' then
    redis.call('ZREM', KEYS[2], campaign)
  else
    redis.call('ZADD', KEYS[2], 'NX', ARGV[1], campaign)
  end
  if finished == '1' then
    redis.call('ZREM', KEYS[1], campaign)
    redis.call('SREM', KEYS[3], campaign)
  else
    redis.call('ZADD', KEYS[1], 'XX', ARGV[2], campaign)
  end
end
