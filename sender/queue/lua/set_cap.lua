#!lua flags=allow-oom
-- Set or lift an account's cap. With quota.lua. A full store takes it: without the day's cap it would not empty.
--
-- KEYS  1  P cap:<lane>, or penstock:{warmup:<account>}:account  hash  see quota.lua
--       2  P out, or the same account                            hash
-- ARGV  1  the field of KEYS 2 that has the units outstanding   2  now   3  the cap as it is kept, "" to lift it
-- Gives 1, or 0 where a later day stands. Told again it changes nothing.

local KEPT_S = 61 * 86400 -- of one that nobody sets any more
local now, cap = tonumber(ARGV[2]), ARGV[3]
local out = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
local quota = read_quota(KEYS[1])
local before = quota and quota.at
if quota then
  touch(quota, now, out)
  write_quota(quota)
end
if cap == '' then
  if quota then
    redis.call('HSET', KEYS[1], 'lifted', 1)
  end
  return 1
end
local day, starts, ends = string.match(cap, '^(%S+) (%S+) (%S+)')
if quota and tonumber(day) < quota.day then
  return 0
end
redis.call('HSET', KEYS[1], 'cap', cap, 'lifted', 0)
local known = quota
quota = quota or { at = now, counts = { out, out, out }, begun = {} }
quota.key, quota.starts, quota.ends = KEYS[1], tonumber(starts), tonumber(ends)
out = to_begin_with(quota, out)
local most = { string.match(cap, '(%S+) (%S+) (%S+)$') }
for place = 1, 3 do
  local since = begun(quota, place)
  if not known or since > before then
    quota.counts[place] = out
  elseif since < quota.begun[place] then -- time is divided otherwise now: what went since then is not known
    quota.counts[place] = math.max(quota.counts[place], most[place] + out)
  end
  quota.begun[place] = since
end
write_quota(quota)
redis.call('EXPIRE', KEYS[1], KEPT_S)
return 1
