#!lua flags=allow-oom
-- Let all sources of a pool take what waits for one of them alone and is not fetched. With route.lua.
--
-- KEYS  1  P owned  zset  own route of a source with ready packs -> since when, as a call of this script saw it, its source has
--                         not asked for work; 0: not seen yet
--       computed: those of route.lua
-- ARGV  1  P   2  now   3  seconds that they wait for their source   4  how many envelopes, about: whole packs move
--       then "<pool>@<source>" of each source there is
-- Gives how many envelopes.
--
-- What is set aside moves once it is in line again.

local P, now, patience, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local LOOK_AT = 1000 -- own routes in one call: of more, others each time
local MAX_PACKS = 2000 -- of one call: bounds how long the script runs
local there, moved, packs = {}, 0, 0
for place = 5, #ARGV do
  there[ARGV[place]] = true
end

local function more()
  return moved < limit and packs < MAX_PACKS
end

local function move(route, campaign, shared)
  local some, size = {}, 0
  while more() do
    local pack = pop_oldest(P, campaign, route)
    if not pack then
      break
    end
    some[#some + 1] = pack
    size, moved, packs = size + pack_size(pack), moved + pack_size(pack), packs + 1
  end
  taken(P, route, campaign, size)
  for _, pack in ipairs(some) do
    put(P, shared, campaign, pack)
  end
end

local function unbind(route)
  local shared = string.gsub(route, '@[^/]*', '', 1)
  while more() do
    local campaign = redis.call('ZRANGE', P .. 'turns:' .. route, 0, 0)[1]
    if not campaign then
      break
    end
    move(route, campaign, shared)
  end
end

local some = redis.call('ZRANDMEMBER', KEYS[1], LOOK_AT, 'WITHSCORES')
for place = 1, #some, 2 do
  local route, since = some[place], tonumber(some[place + 1])
  if redis.call('HEXISTS', P .. 'waiting', 'ready ' .. route) == 0 then
    redis.call('ZREM', KEYS[1], route)
  elseif not there[string.match(route, '^[^/]*')] or (since > 0 and now - since >= patience) then
    unbind(route)
  elseif since == 0 then
    redis.call('ZADD', KEYS[1], now, route)
  end
end
return moved
