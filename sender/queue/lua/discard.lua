#!lua flags=allow-oom
-- End what waits of a campaign in one partition, ready or for later. With route.lua.
--
-- KEYS  1  P where:<campaign>  hash  see route.lua
--       2  P later:<campaign>  zset  see route.lua
--       3  P asides            zset  see route.lua
--       computed: those of route.lua
-- ARGV  1  P   2  campaign   3  state   4  how many envelopes, about: whole packs end
-- Gives how many envelopes ended.

local P, campaign, state, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local MAX_PACKS = 2000 -- of one call: bounds how long the script runs
local ended, packs = 0, 0

local function finish(route, size)
  count(P, campaign, state, route, size)
  ended = ended + size
end

local function more()
  return ended < limit and packs < MAX_PACKS
end

local function take_ready(route)
  local size = 0
  repeat
    local pack = pop_oldest(P, campaign, route)
    size, packs = size + (pack and pack_size(pack) or 0), packs + 1
  until not pack or ended + size >= limit or packs >= MAX_PACKS
  return size
end

while more() do
  local route = redis.call('HRANDFIELD', KEYS[1])
  if not route then
    break
  end
  local size = take_ready(route)
  if redis.call('SISMEMBER', P .. 'aside:' .. campaign, route) == 1 then
    count_aside(P, route, -size)
    if not oldest(P, campaign, route) then
      redis.call('SREM', P .. 'aside:' .. campaign, route)
    end
  end
  taken(P, route, campaign, size)
  if size > 0 then
    finish(route, size)
  end
end

while more() do
  local member = redis.call('ZPOPMIN', KEYS[2])[1]
  if not member then
    break
  end
  local route, pack = string.match(member, '^(%Z+)%z(.+)$')
  packs = packs + 1
  if pack then -- else it was written by somebody else, and can be nobody's mail
    redis.call('HINCRBY', P .. 'waiting', 'later', -pack_size(pack))
    finish(route, pack_size(pack))
  end
end
later_changed(P, campaign)
if redis.call('EXISTS', P .. 'aside:' .. campaign) == 0 then
  redis.call('ZREM', KEYS[3], campaign)
end
return ended
