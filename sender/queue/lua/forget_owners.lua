#!lua flags=allow-oom
-- Owners hold nothing of a shared account any more: what they had is used up. With quota.lua.
--
-- KEYS  1  penstock:{warmup:<account>}:account  hash  see quota.lua and account.lua
-- ARGV  1  now   then pairs: owner, how many of the units that are left to it come back
-- Gives how many owners there were.

local forgotten = 0
local quota = read_quota(KEYS[1])
local out = tonumber(redis.call('HGET', KEYS[1], 'out') or 0)
if quota then
  touch(quota, tonumber(ARGV[1]), out)
end
for place = 2, #ARGV, 2 do
  local record = redis.call('HGET', KEYS[1], '=' .. ARGV[place])
  if record then
    local _, reserved, back, used = string.match(record, '^(%S+) (%S+) (%S+) (%S+)$')
    local left = math.max(0, tonumber(reserved) - tonumber(back) - tonumber(used))
    out = math.max(0, out - left)
    if quota then
      add_units(quota, -math.min(left, tonumber(ARGV[place + 1])))
    end
    redis.call('HDEL', KEYS[1], '=' .. ARGV[place])
    forgotten = forgotten + 1
  end
end
if quota then
  write_quota(quota)
end
redis.call('HSET', KEYS[1], 'out', exact(out))
return forgotten
