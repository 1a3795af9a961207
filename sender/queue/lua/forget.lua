#!lua flags=allow-oom
-- Forget a campaign in one partition: nothing of it waits any more.
--
-- KEYS  1  P count:<campaign>   2  P where:<campaign>   3  P later:<campaign>   4  P aside:<campaign>   5  P holds
--       6  P budget   7  P asides   8  P due: see route.lua
-- ARGV  1  campaign

redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('HDEL', KEYS[6], ARGV[1], '#' .. ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
redis.call('ZREM', KEYS[8], ARGV[1])
