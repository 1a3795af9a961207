-- Library, put in front of every script that counts units: caps, and what has been used of them (the same rules as quota.py).
--
--   P cap:<lane>                          hash  cap: "<day> <starts> <ends> <per day> <per hour> <per minute>", the last one;
--                                               lifted: 1 where it binds no more; at: the latest time anybody came with;
--                                               d, h, m: units counted in the day, hour and minute that began at D, H, M;
--                                               by: the claim under which it was leased last, taken: units under that;
--                                               missed: units that a failover lost, until: counted as outstanding so long
--   P out                                 hash  lane -> units outstanding: leased and not settled
--   penstock:{warmup:<account>}:account   hash  the same for a shared account, and out; "=<owner>": see account.lua
--   P marks:<lane, or shared account>     hash  "<sending day> <mark>", "<sending day> complaints" -> how many
--
-- Whoever changes a count touches it first: a window that has begun since begins with what is outstanding.

local COUNTS, BEGUN = { 'd', 'h', 'm' }, { 'D', 'H', 'M' }
local SECONDS = { false, 3600, 60 }
local WINDOWS = { 'day', 'hour', 'minute' }
local DAYS_KEPT = 60
local UNIX_DAY = 719163 -- 1 January 1970, as days are numbered

local function exact(number)
  return string.format('%.17g', number)
end

-- What an account counts, or nil where it never had a cap.
local function read_quota(key)
  local held = redis.call('HMGET', key, 'cap', 'lifted', 'at', 'd', 'h', 'm', 'D', 'H', 'M', 'by', 'taken', 'missed', 'until')
  if not held[1] then
    return nil
  end
  local day, starts, ends, per_day, per_hour, per_minute =
    string.match(held[1], '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  return {
    key = key, day = tonumber(day), starts = tonumber(starts), ends = tonumber(ends),
    most = { tonumber(per_day), tonumber(per_hour), tonumber(per_minute) },
    lifted = held[2] == '1', at = tonumber(held[3]),
    counts = { tonumber(held[4]), tonumber(held[5]), tonumber(held[6]) },
    begun = { tonumber(held[7]), tonumber(held[8]), tonumber(held[9]) },
    by = held[10] or '', taken = tonumber(held[11] or 0),
    missed = tonumber(held[12] or 0), missed_until = tonumber(held[13] or 0),
  }
end

local function write_quota(quota)
  local fields = { 'at', exact(quota.at) }
  for place = 1, 3 do
    local at = #fields
    fields[at + 1], fields[at + 2] = COUNTS[place], exact(quota.counts[place])
    fields[at + 3], fields[at + 4] = BEGUN[place], exact(quota.begun[place])
  end
  redis.call('HSET', quota.key, unpack(fields))
end

-- When the window began that it is in. Behind the day's end others have begun, whatever they permit.
local function begun(quota, place)
  if place == 1 then
    if quota.at < quota.ends then
      return quota.starts
    end
    return quota.ends + math.floor((quota.at - quota.ends) / 86400) * 86400
  end
  return quota.starts + math.floor((quota.at - quota.starts) / SECONDS[place]) * SECONDS[place]
end

-- What a window that begins now begins with: of these units outstanding, and those that a failover lost, any may be sent in it.
local function to_begin_with(quota, out)
  return quota.missed and quota.at < quota.missed_until and out + quota.missed or out
end

-- Somebody came at this time: windows that began since the last one begin to count.
local function touch(quota, now, out)
  local before = quota.at
  quota.at = math.max(quota.at, now)
  out = to_begin_with(quota, out)
  for place = 1, 3 do
    local since = begun(quota, place)
    if since > before then
      quota.counts[place], quota.begun[place] = out, since
    end
  end
end

local function binds(quota)
  return quota and not quota.lifted
end

-- How many units may be taken, once touched; without a cap that binds as many as anybody wants.
local function room(quota)
  if not binds(quota) then
    return math.huge
  elseif quota.at < quota.starts or quota.at >= quota.ends then
    return 0
  end
  local left = math.huge
  for place = 1, 3 do
    left = math.min(left, quota.most[place] - quota.counts[place])
  end
  return math.max(0, left)
end

-- Why there is no room: {window, when it ends, what it permits}; of several windows the one that ends last.
local function closed(quota)
  if not binds(quota) or quota.at >= quota.ends then
    return { 'unplanned', '0', 0 }
  elseif quota.at < quota.starts then
    return { 'day', exact(quota.starts), 0 }
  end
  for place = 1, 3 do
    if quota.counts[place] >= quota.most[place] then
      local ends = SECONDS[place] and quota.begun[place] + SECONDS[place] or quota.ends
      return { WINDOWS[place], exact(math.min(ends, quota.ends)), quota.most[place] }
    end
  end
end

-- Add units to every window; negative ones are there again.
local function add_units(quota, units)
  for place = 1, 3 do
    quota.counts[place] = math.max(0, quota.counts[place] + units)
  end
end

-- A lane's owner says how many units it was ever granted under this claim. Where that is more than is written down, a failover
-- has lost some: they count as used, and for a while as outstanding too, because the owner still has their leases.
local MISSED_S = 900 -- a reply to the end of data may take ten minutes
local function make_good(quota, claim, known)
  local missed = known - (quota.by == claim and quota.taken or 0)
  if missed > 0 then
    if quota.at >= quota.missed_until then
      quota.missed = 0
    end
    quota.missed, quota.missed_until = quota.missed + missed, quota.at + MISSED_S
    add_units(quota, missed)
    redis.call('HSET', quota.key, 'missed', quota.missed, 'until', exact(quota.missed_until))
  end
  quota.by, quota.taken = claim, known
  redis.call('HSET', quota.key, 'by', claim, 'taken', known)
end

-- So many units are leased to a lane.
local function take_units(P, lane, quota, units)
  if quota then
    add_units(quota, units)
    write_quota(quota)
    redis.call('HINCRBY', quota.key, 'taken', units)
  end
  redis.call('HINCRBY', P .. 'out', lane, units)
end

-- So many units of a lane are settled at this time, some of them used up.
local function settle_units(P, lane, units, used, now)
  local quota = read_quota(P .. 'cap:' .. lane)
  if quota then
    touch(quota, now, tonumber(redis.call('HGET', P .. 'out', lane) or 0))
    add_units(quota, used - units)
    write_quota(quota)
  end
  if redis.call('HINCRBY', P .. 'out', lane, -units) <= 0 then
    redis.call('HDEL', P .. 'out', lane)
  end
end

-- Which sending day it is for a lane, by its own cap or, without one, in UTC.
local function sending_day(quota, now)
  if binds(quota) and quota.at >= quota.starts and quota.at < quota.ends then
    return quota.day
  end
  return math.floor(now / 86400) + UNIX_DAY
end

-- Count what came of attempts of a sending day. With the first of its kind that day, what is too old to be asked for goes.
local function mark(P, name, day, what, count)
  local key = P .. 'marks:' .. name
  if redis.call('HINCRBY', key, day .. ' ' .. what, count) == count then
    for _, known in ipairs(redis.call('HKEYS', key)) do
      if tonumber(string.match(known, '^%d+') or 0) < day - DAYS_KEPT then
        redis.call('HDEL', key, known)
      end
    end
    redis.call('EXPIRE', key, (DAYS_KEPT + 1) * 86400)
  end
end
