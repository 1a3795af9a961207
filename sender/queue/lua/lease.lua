#!lua flags=allow-oom
-- Lease packs to lanes. With route.lua.
--
-- KEYS  1  P claims   hash  lane -> "<epoch> <owner>": until it lets go, resigns or is fenced
--       2  P leases   hash  lease -> owner
--       3  P epoch    string  the last epoch given: each change of owner gets one of its own
--       computed, because campaigns and lease ids come up here: those of route.lua, and
--       P lease:<id>  hash  owner, lane, route, campaign; size: envelopes in its packs; granted: how many of them, from
--                           the first on, the lane may send; left: not settled; 1, 2, ...: the packs
-- ARGV  1  P   2  now   3  prefix of the ids of new leases   then four for each request: lane, route, owner, envelopes
-- Gives for each lease: {request from 0, id, campaign, size, granted, pack ...}
--
-- The last pack may hold more than was asked for: then granted < size, and the caller hands the rest back with
-- split.lua. Should it die before, the record still says all that the lease holds. A campaign that is held, or has no
-- budget left, is set aside on the route where its turn comes up: nobody looks at it again until `wake` does.

local P, now, token = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local MAX_PACKS = 1000 -- of one request: bounds how long the script runs; who is set aside counts as one, too
local allowed = {} -- campaign -> {envelopes it may still lease in this call, until when it has to wait if none}

-- One owner a lane.
local function claim(lane, owner)
  local held = redis.call('HGET', KEYS[1], lane)
  if held then
    return string.match(held, '^%d+ (.*)$') == owner
  end
  redis.call('HSET', KEYS[1], lane, redis.call('INCR', KEYS[3]) .. ' ' .. owner)
  return true
end

local function allowance(campaign)
  if not allowed[campaign] then
    allowed[campaign] = { permitted(P, campaign, now) }
  end
  return allowed[campaign]
end

local granted_leases, number = {}, 0

local function grant(request, lane, route, owner, wanted)
  -- What caps a lane is counted here: it lowers `wanted` before anything is taken.
  local leases, order, stopped, packs = {}, {}, {}, 0
  while wanted > 0 and packs < MAX_PACKS do
    local campaign = redis.call('ZRANGE', P .. 'turns:' .. route, 0, 0)[1]
    if not campaign then
      break
    end
    local left = allowance(campaign)
    local pack = left[1] > 0 and redis.call('ZPOPMIN', P .. 'packs:' .. campaign .. ':' .. route)[1]
    if left[1] <= 0 then
      redis.call('ZREM', P .. 'turns:' .. route, campaign)
      stopped[#stopped + 1] = campaign
      packs = packs + 1
    elseif pack then
      local lease = leases[campaign]
      if not lease then
        lease = { size = 0, granted = 0, packs = {} }
        leases[campaign] = lease
        order[#order + 1] = campaign
      end
      local size = pack_size(pack)
      local granted = math.min(size, wanted, left[1])
      packs, wanted, left[1] = packs + 1, wanted - granted, left[1] - granted
      lease.size, lease.granted = lease.size + size, lease.granted + granted
      lease.packs[#lease.packs + 1] = pack
      redis.call('ZINCRBY', P .. 'turns:' .. route, granted, campaign)
    else
      redis.call('ZREM', P .. 'turns:' .. route, campaign)
    end
  end
  for _, campaign in ipairs(order) do
    local lease, id = leases[campaign], token .. number
    number = number + 1
    local record = { 'owner', owner, 'lane', lane, 'route', route, 'campaign', campaign,
      'size', lease.size, 'granted', lease.granted, 'left', lease.size }
    local answer = { request, id, campaign, lease.size, lease.granted }
    for place, pack in ipairs(lease.packs) do
      record[#record + 1] = place
      record[#record + 1] = pack
      answer[#answer + 1] = pack
    end
    redis.call('HSET', P .. 'lease:' .. id, unpack(record))
    redis.call('HSET', KEYS[2], id, owner)
    redis.call('HINCRBY', P .. 'waiting', 'leased', lease.size)
    taken(P, route, campaign, lease.size)
    if allowed[campaign][1] < math.huge then
      redis.call('HINCRBY', P .. 'budget', campaign, -lease.granted)
    end
    granted_leases[#granted_leases + 1] = answer
  end
  for _, campaign in ipairs(stopped) do
    set_aside(P, route, campaign, allowed[campaign][2])
  end
end

for place = 4, #ARGV, 4 do
  local lane, route, owner, wanted = ARGV[place], ARGV[place + 1], ARGV[place + 2], tonumber(ARGV[place + 3])
  if claim(lane, owner) then
    grant((place - 4) / 4, lane, route, owner, wanted)
  end
end
return granted_leases
