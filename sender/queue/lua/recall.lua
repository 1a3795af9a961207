#!lua flags=allow-oom
-- Take back from a campaign's budget in one partition what was not leased there, for others.
--
-- KEYS  1  P budget  hash  see route.lua
-- ARGV  1  campaign   2  how many at most
-- Gives how many.

local back = math.min(tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0), tonumber(ARGV[2]))
if back <= 0 then
  return 0
end
redis.call('HINCRBY', KEYS[1], ARGV[1], -back)
return back
