#!lua flags=allow-oom
-- Hand back what a lease holds beyond what was granted. With route.lua.
--
-- KEYS  1  P lease:<id>  hash  see lease.lua
--       computed: those of route.lua
-- ARGV  1  P   2  the rest, as a pack
-- Gives how many envelopes became ready: none when it is told again, or when the lease is gone.

local P, rest = ARGV[1], ARGV[2]
local held = redis.call('HMGET', KEYS[1], 'route', 'campaign', 'size', 'granted')
if not held[1] or tonumber(held[3]) == tonumber(held[4]) then
  return 0
end
local size = pack_size(rest)
redis.call('HSET', KEYS[1], 'size', held[4])
redis.call('HINCRBY', KEYS[1], 'left', -size)
redis.call('HINCRBY', P .. 'waiting', 'leased', -size)
return put(P, held[1], held[2], rest)
