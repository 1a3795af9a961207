#!lua flags=allow-oom
-- A campaign's specification is stored: open it for expansion and drop its announcement.
--
-- KEYS  1  penstock:{inbox}:campaigns  stream  announcements
--       2  penstock:{inbox}:known      zset    campaign -> when it was accepted
--       3  penstock:{inbox}:open       zset    campaign -> when it was accepted; those that may have rows to expand
--       4  penstock:{inbox}:scheduled  set  those that a scheduler has to look after
-- ARGV  1  entry   2  campaign   3  now   4  1 where it is scheduled or 0
-- Gives 1, or 0 where it was known: a repeat, which opens nothing.

redis.call('XDEL', KEYS[1], ARGV[1])
if redis.call('ZADD', KEYS[2], 'NX', ARGV[3], ARGV[2]) == 0 then
  return 0
end
if ARGV[4] == '1' then
  redis.call('SADD', KEYS[4], ARGV[2])
end
return redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
