#!lua flags=allow-oom
-- End a lease whose owner lives no more: what it had not settled becomes ready. With route.lua.
--
-- KEYS  1  P lease:<id>    hash    see lease.lua
--       2  P settled:<id>  bitmap  positions settled
--       3  P leases        hash    lease -> owner
--       computed: those of route.lua
-- ARGV  1  P   2  lease   3  the bitmap that the packs were made by   then packs of all positions not settled
-- Gives how many envelopes became ready: none where the lease is gone or has been settled further meanwhile.

local P, id, seen = ARGV[1], ARGV[2], ARGV[3]
local held = redis.call('HMGET', KEYS[1], 'route', 'campaign', 'left')
if not held[1] or (redis.call('GET', KEYS[2]) or '') ~= seen then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HDEL', KEYS[3], id)
redis.call('HINCRBY', P .. 'waiting', 'leased', -tonumber(held[3]))
local ready = 0
for place = 4, #ARGV do
  ready = ready + put(P, held[1], held[2], ARGV[place])
end
return ready
