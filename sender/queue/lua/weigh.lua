#!lua flags=no-writes
-- How much one partition has of a campaign with a limited rate, and how much of it may be leased.
--
-- KEYS  1  P where:<campaign>  hash  see route.lua
--       2  P budget            hash  see route.lua
-- ARGV  1  campaign
-- Gives {envelopes ready, about where there are many routes; budget}, or {0, 0} where the rate is not limited.

local LOOK_AT = 1000 -- routes; of more this many are looked at, and stand for the rest
local budget, routes = redis.call('HGET', KEYS[2], ARGV[1]), redis.call('HLEN', KEYS[1])
if not budget then
  return { 0, 0 }
end
local ready = 0
local some = redis.call('HRANDFIELD', KEYS[1], LOOK_AT, 'WITHVALUES')
for place = 2, #some, 2 do
  ready = ready + math.max(1, tonumber(some[place]))
end
return { math.ceil(ready * math.max(1, routes / LOOK_AT)), tonumber(budget) }
