#!lua flags=allow-oom
-- Hand back what a lease holds beyond what was granted. With route.lua.
--
-- KEYS  1  P lease:<id>  hash  see lease.lua
--       computed: those of route.lua
-- ARGV  1  P   then the rest, as packs
-- Gives how many envelopes became ready: none when it is told again, or when the lease is gone.

local P = ARGV[1]
local held = redis.call('HMGET', KEYS[1], 'route', 'campaign', 'size', 'granted')
if not held[1] or tonumber(held[3]) == tonumber(held[4]) then
  return 0
end
local rest = tonumber(held[3]) - tonumber(held[4])
redis.call('HSET', KEYS[1], 'size', held[4])
redis.call('HINCRBY', KEYS[1], 'left', -rest)
redis.call('HINCRBY', P .. 'waiting', 'leased', -rest)
for place = 2, #ARGV do
  put(P, held[1], held[2], ARGV[place])
end
return rest
