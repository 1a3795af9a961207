#!lua flags=allow-oom
-- Let line up again what was set aside and is held no more. With route.lua.
--
-- KEYS  1  P asides  zset  see route.lua
--       computed: those of route.lua
-- ARGV  1  P   2  now   3  how many routes, and campaigns, at most
-- Gives how many routes.

local now, limit, woken = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
for _, campaign in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, limit)) do
  if woken >= limit then
    break
  end
  woken = woken + wake(ARGV[1], campaign, now, limit - woken)
end
return woken
