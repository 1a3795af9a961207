#!lua flags=allow-oom
-- Reserve units of a shared account, and hear what became of those reserved before. With quota.lua.
--
-- KEYS  1  penstock:{warmup:<account>}:account  hash  see quota.lua; "=<owner>": "<call> <reserved> <back> <used>", all units
--                                                     that this owner was ever granted, gave back and used up
-- ARGV  1  now   2  units wanted   then, where they are reserved for leasing: 3  owner   4  number of the call   5  reserved
--       6  back   7  used: as this owner counts them
-- Gives {granted, sending day, when it ends, window, when that opens, what it permits, outstanding}: see `closed`; "" for a
-- window that has room. Without an owner the units are used up at once.
--
-- An owner tells totals, so that a call that got lost is made good by the next one: what was granted and never reached him
-- goes back; and what he knows of and the store does not, because a failover lost it, is counted again. A call that comes
-- after a later one changes nothing and is granted nothing.

local now, wanted, owner = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local quota = read_quota(KEYS[1])
local out = tonumber(redis.call('HGET', KEYS[1], 'out') or 0)
local held, told = { 0, 0, 0, 0 }, { 0, 0, 0, 0 }
if owner then
  local record = redis.call('HGET', KEYS[1], '=' .. owner) or '0 0 0 0'
  for place, number in ipairs({ string.match(record, '^(%S+) (%S+) (%S+) (%S+)$') }) do
    held[place] = tonumber(number)
  end
  told = { tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]) }
  if told[1] <= held[1] then
    return { 0, 0, '0', 'late', '0', 0, out }
  end
end
if quota then
  touch(quota, now, out)
end
if owner then
  local back = math.max(0, held[2] - told[2]) + math.max(0, told[3] - held[3])
  local used = math.max(0, told[4] - held[4])
  local missed = math.max(0, told[2] - held[2])
  out = math.max(0, out + missed - back - used)
  if quota then
    add_units(quota, missed - back)
  end
end
local left = binds(quota) and room(quota) or 0
local granted = math.min(wanted, left)
local why = { '', '0', 0 }
if left <= 0 then
  why = closed(quota)
end
if quota then
  add_units(quota, granted)
  write_quota(quota)
end
if owner then
  out = out + granted
  local record = table.concat({ exact(told[1]), exact(told[2] + granted), exact(told[3]), exact(told[4]) }, ' ')
  redis.call('HSET', KEYS[1], 'out', exact(out), '=' .. owner, record)
end
return { granted, sending_day(quota, now), exact(quota and quota.ends or 0), why[1], why[2], why[3], out }
