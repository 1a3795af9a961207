#!lua flags=allow-oom
-- End a lease whose owner lives no more: what it had not settled becomes ready. With route.lua and quota.lua.
--
-- KEYS  1  P lease:<id>    hash    see lease.lua
--       2  P settled:<id>  bitmap  positions settled
--       3  P leases        hash    lease -> owner
--       computed: those of route.lua and quota.lua
-- ARGV  1  P   2  lease   3  the bitmap that the packs were made by   4  now   5  1 where nobody can have sent any of it, so
--       that its units are there again, or 0: they are used up   then packs of all positions not settled
-- Gives {envelopes that became ready, shared account or "", units of it that are there again}: none where the lease is gone
-- or has been settled further meanwhile.

local P, id, seen = ARGV[1], ARGV[2], ARGV[3]
local held = redis.call('HMGET', KEYS[1], 'route', 'campaign', 'left', 'granted', 'lane', 'day', 'account')
if not held[1] or (redis.call('GET', KEYS[2]) or '') ~= seen then
  return { 0, '', 0 }
end
local units, back = 0, 0
if held[6] then -- not a lease of an earlier program
  units = tonumber(held[4]) - redis.call('BITCOUNT', KEYS[2], 0, held[4] - 1, 'BIT')
  back = units * tonumber(ARGV[5])
  settle_units(P, held[5], units, units - back, tonumber(ARGV[4]))
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HDEL', KEYS[3], id)
redis.call('HINCRBY', P .. 'waiting', 'leased', -tonumber(held[3]))
local ready = 0
for place = 6, #ARGV do
  ready = ready + put(P, held[1], held[2], ARGV[place])
end
return { ready, held[7] or '', back }
