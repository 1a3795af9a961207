#!lua flags=allow-oom
-- Lease packs to lanes. With route.lua and quota.lua.
--
-- KEYS  1  P claims   hash  lane -> "<epoch> <owner>": until it lets go, resigns or is fenced
--       2  P leases   hash  lease -> owner
--       3  P epoch    string  the last epoch given: each change of owner gets one of its own
--       computed, because campaigns and lease ids come up here: those of route.lua and quota.lua, and
--       P places      hash  "<choice> <route>" -> how many campaigns of the line were looked at in vain: the next look goes on
--                           behind them
--       P lease:<id>  hash  owner, lane, route, campaign; size: envelopes in its packs; granted: how many of them, from
--                           the first on, the lane may send: each has taken a unit; left: not settled; day: the sending
--                           day whose statistics count it; account: the shared one its units were reserved from, if any;
--                           1, 2, ...: the packs
-- ARGV  1  P   2  now   3  prefix of the ids of new leases   then eleven for each request: lane, route, owner, envelopes,
--       choice ("oldest", "engaged", "rest": see Choice in model.py), the least engagement that lanes which warm up take,
--       1 where nothing may go without a cap or 0, shared account or "", its sending day or "", the claim under which its
--       owner counts, how many envelopes it was granted under that
-- Gives {leases, waits}: for each lease {request from 0, id, route, size, granted, when its sending day ends, pack ...}, for
-- each lane that a cap keeps from any {request from 0, window, when it opens, what it permits, units outstanding}
--
-- The last pack may hold more than was asked for: then granted < size, and the caller hands the rest back with
-- split.lua. Should it die before, the record still says all that the lease holds. A campaign that is held, or has no
-- budget left, is set aside on the route where its turn comes up: nobody looks at it again until `wake` does. One that has
-- nothing for this lane, because others are to take it, keeps its place in line and its turn.

local P, now, token = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local MAX_PACKS = 1000 -- of one request: bounds how long the script runs; who is set aside counts as one, too
local MAX_PASSED = 200 -- campaigns that have nothing for this lane
local FLOORS = { [0] = 0, 25, 50, 75 } -- the least engagement of each band
local allowed = {} -- campaign -> {envelopes it may still lease in this call, until when it has to wait if none}
local spills = {} -- campaign -> {seconds that warm lanes leave it to others, from when on at the earliest}

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

local function spill(campaign)
  if not spills[campaign] then
    local after, start = string.match(redis.call('HGET', P .. 'count:' .. campaign, '=spill') or '0 0', '^(%S+) (%S+)$')
    spills[campaign] = { tonumber(after), tonumber(start) }
  end
  return spills[campaign]
end

-- Whether a warm lane beside some that warm up may take from this band, of what the campaign has on the route.
local function spilled(campaign, route, band, least)
  local waits = spill(campaign)
  if waits[1] == 0 or FLOORS[band] < least then
    return true
  end
  local head = redis.call('ZRANGE', packs_key(P, campaign, route, band), 0, 0, 'WITHSCORES')
  return head[2] and math.max(tonumber(head[2]), waits[2]) + waits[1] <= now
end

-- The next pack of the campaign that this lane may take; nil where there is none for it.
local function next_pack(line, campaign)
  local bands = bands_of(P, campaign)
  if line.choice == 'oldest' then
    return pop_oldest(P, campaign, line.route)
  end
  for place = 1, #bands do
    local band = line.choice == 'engaged' and bands[place] or bands[#bands + 1 - place]
    local may = line.choice == 'engaged' and FLOORS[band] >= line.least
      or line.choice == 'rest' and spilled(campaign, line.route, band, line.least)
    local pack = may and pop(P, campaign, line.route, band)
    if pack then
      return pack
    end
  end
end

-- What the lane takes from: what waits for its source alone, in the order it came, and what waits for all of its pool.
local function lines_of(lane, route, choice, least)
  local pool, receiver = string.match(route, '^([^/]*)(/.*)$')
  local own = pool .. '@' .. string.match(lane, '^[^/]*') .. receiver
  local lines = { { route = route, choice = choice, least = least, place = 0, passed = 0 } }
  if choice ~= 'oldest' then
    lines[1].place = tonumber(redis.call('HGET', P .. 'places', choice .. ' ' .. route) or 0)
  end
  redis.call('ZADD', P .. 'owned', 'XX', 0, own) -- its source asks, whether what waits there may be leased now or not
  if redis.call('EXISTS', P .. 'turns:' .. own) == 1 then
    table.insert(lines, 1, { route = own, choice = 'oldest', place = 0, passed = 0 })
  end
  return lines
end

-- Whose turn it is: the better priority goes first, and of one priority what is the source's own.
local function next_turn(lines)
  local first, campaign, class
  for _, line in ipairs(lines) do
    local turn = redis.call('ZRANGE', P .. 'turns:' .. line.route, line.place, line.place, 'WITHSCORES')
    local its = turn[2] and math.floor(tonumber(turn[2]) / CLASS)
    if its and (not class or its < class) and line.passed < MAX_PASSED then
      first, campaign, class = line, turn[1], its
    end
  end
  return first, campaign
end

-- The campaign has nothing for this lane: its place in line is kept, unless it has nothing at all.
local function pass(line, campaign)
  if oldest(P, campaign, line.route) then
    line.place, line.passed = line.place + 1, line.passed + 1
  else
    redis.call('ZREM', P .. 'turns:' .. line.route, campaign)
  end
end

-- Where too many were passed, the next look begins behind them.
local function keep_place(line)
  if line.choice ~= 'oldest' and line.passed >= MAX_PASSED then
    redis.call('HSET', P .. 'places', line.choice .. ' ' .. line.route, line.place)
  elseif line.choice ~= 'oldest' and line.place > line.passed then
    redis.call('HDEL', P .. 'places', line.choice .. ' ' .. line.route)
  end
end

local granted_leases, waits, number = {}, {}, 0

-- How many of the envelopes wanted the lane's cap lets it have, and what counts them, if anything does.
local function capped(request, lane, wanted, needed, claim, known)
  local quota, out = read_quota(P .. 'cap:' .. lane), tonumber(redis.call('HGET', P .. 'out', lane) or 0)
  if quota then
    touch(quota, now, out)
    make_good(quota, claim, known)
    write_quota(quota)
  end
  local left = (binds(quota) or not needed) and room(quota) or 0
  if left <= 0 then
    local why = closed(quota)
    waits[#waits + 1] = { request, why[1], why[2], why[3], out }
  end
  return math.min(wanted, left), quota
end

local function grant(request, lane, owner, wanted, lines, cap, account, day, claim, known)
  local quota
  wanted, quota = capped(request, lane, wanted, cap == '1', claim, tonumber(known))
  local leases, order, stopped, packs = {}, {}, {}, 0
  while wanted > 0 and packs < MAX_PACKS do
    local line, campaign = next_turn(lines)
    if not line then
      break
    end
    local left = allowance(campaign)
    local pack = left[1] > 0 and next_pack(line, campaign)
    if left[1] <= 0 then
      redis.call('ZREM', P .. 'turns:' .. line.route, campaign)
      stopped[#stopped + 1] = { line.route, campaign }
      packs = packs + 1
    elseif pack then
      local key = line.route .. ' ' .. campaign
      local lease = leases[key]
      if not lease then
        lease = { route = line.route, campaign = campaign, size = 0, granted = 0, packs = {} }
        leases[key] = lease
        order[#order + 1] = lease
      end
      local size = pack_size(pack)
      local granted = math.min(size, wanted, left[1])
      packs, wanted, left[1] = packs + 1, wanted - granted, left[1] - granted
      lease.size, lease.granted = lease.size + size, lease.granted + granted
      lease.packs[#lease.packs + 1] = pack
      redis.call('ZINCRBY', P .. 'turns:' .. line.route, granted, campaign)
    else
      pass(line, campaign)
    end
  end
  for _, line in ipairs(lines) do
    keep_place(line)
  end
  for _, lease in ipairs(order) do
    local route, campaign, id = lease.route, lease.campaign, token .. number
    number = number + 1
    local record = { 'owner', owner, 'lane', lane, 'route', route, 'campaign', campaign,
      'size', lease.size, 'granted', lease.granted, 'left', lease.size,
      'day', day ~= '' and day or sending_day(quota, now), 'account', account }
    local answer = { request, id, route, lease.size, lease.granted, exact(binds(quota) and quota.ends or math.huge) }
    for place, pack in ipairs(lease.packs) do
      record[#record + 1] = place
      record[#record + 1] = pack
      answer[#answer + 1] = pack
    end
    redis.call('HSET', P .. 'lease:' .. id, unpack(record))
    redis.call('HSET', KEYS[2], id, owner)
    redis.call('HINCRBY', P .. 'waiting', 'leased', lease.size)
    take_units(P, lane, quota, lease.granted)
    taken(P, route, campaign, lease.size)
    if allowed[campaign][1] < math.huge then
      redis.call('HINCRBY', P .. 'budget', campaign, -lease.granted)
    end
    granted_leases[#granted_leases + 1] = answer
  end
  for _, where in ipairs(stopped) do
    set_aside(P, where[1], where[2], allowed[where[2]][2])
  end
end

for place = 4, #ARGV, 11 do
  local lane, route, owner, wanted = ARGV[place], ARGV[place + 1], ARGV[place + 2], tonumber(ARGV[place + 3])
  if claim(lane, owner) then
    local lines = lines_of(lane, route, ARGV[place + 4], tonumber(ARGV[place + 5]))
    grant((place - 4) / 11, lane, owner, wanted, lines, unpack(ARGV, place + 6, place + 10))
  end
end
return { granted_leases, waits }
