#!lua flags=allow-oom
-- Set campaigns' holds in one partition, each in place of the one it had. Told again, it changes nothing.
--
-- KEYS  1  P holds   hash  see route.lua
--       2  P asides  zset  see route.lua: who is there is looked at again at once
-- ARGV  three for each: campaign, start, end; end <= start lifts the hold
-- Gives how many were changed.

local changed = 0
for place = 1, #ARGV, 3 do
  local campaign, start, stop = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  local wanted = tonumber(start) < tonumber(stop) and start .. ' ' .. stop
  if wanted ~= redis.call('HGET', KEYS[1], campaign) then -- both are false where there is none
    if wanted then
      redis.call('HSET', KEYS[1], campaign, wanted)
    else
      redis.call('HDEL', KEYS[1], campaign)
    end
    redis.call('ZADD', KEYS[2], 'XX', 0, campaign)
    changed = changed + 1
  end
end
return changed
