#!lua flags=allow-oom
-- Owners live, and who else does. A full server must not make owners look dead: what they hold would go out twice.
--
-- KEYS  1  penstock:{fleet}:owners  zset  owner -> its last heartbeat
-- ARGV  1  now   2  seconds an owner lives without a heartbeat   then owners
-- Gives all that live.

for place = 3, #ARGV do
  redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[place])
end
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.6f', ARGV[1] - ARGV[2]), '+inf')
