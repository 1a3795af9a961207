#!lua flags=allow-oom
-- Add to a campaign's budget in one partition, and let as many of its routes line up again. With route.lua.
--
-- KEYS  1  P budget  hash  see route.lua
--       computed: those of route.lua
-- ARGV  1  P   2  campaign   3  envelopes   4  number of the grant   5  now   6  routes at most
-- Gives how many envelopes may be leased more: none where the campaign's rate is not limited any more, where this is told
-- again, or where a later grant came first: then these are lost.

local last = redis.call('HMGET', KEYS[1], ARGV[2], '#' .. ARGV[2])
if not last[1] or tonumber(last[2] or 0) >= tonumber(ARGV[4]) then
  return 0
end
redis.call('HSET', KEYS[1], '#' .. ARGV[2], ARGV[4])
redis.call('HINCRBY', KEYS[1], ARGV[2], ARGV[3])
wake(ARGV[1], ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6]))
return tonumber(ARGV[3])
