#!lua flags=allow-oom
-- Record what became of leased envelopes. With route.lua and quota.lua.
--
-- KEYS  1  P leases  hash    lease -> owner
--       2  P due     zset    campaign -> when the first of its later packs is due
--       3  P events  stream  v 1, lines: events as JSON lines, those of one settlement call together
--       computed, because they follow from the lease's record: those of route.lua and quota.lua, and
--       P lease:<id>    hash    see lease.lua
--       P settled:<id>  bitmap  positions settled
--       P doubts:<campaign>  hash  ordinal -> what an operator may send again (redis_doubts.py)
--       P doubted            set   campaigns with something of that kind here
-- ARGV  1  P   2  settlements, MessagePack: {lease, {state: {position ...}}, {{due, {position ...}, pack, tried, route} ...},
--          events, {position: {ordinal, doubt}}, {mark: {1 where it uses a unit or 0, {position ...}}}, identity or ""};
--          route: where it waits, "" where it waited before
--       where packs, events (0: none) and doubts are places in ARGV, because this MessagePack knows text only
--       3  how many entries of events are kept, about   4  now   then packs, events, doubts
-- Gives {returns, gone}: the returns that were settled in part before, as {settlement from 0, return from 0, open position
-- ...}: they are left as they are, and the caller packs what is open again; and how many positions were of leases that are
-- gone.
--
-- A position that is set changes nothing, and a lease that is gone is ignored: so telling it again changes nothing.

local P, kept, now = ARGV[1], ARGV[3], tonumber(ARGV[4])
local KEPT_DOUBTS = 100000 -- of this partition; what comes beyond is UNKNOWN without content
local partly, told, gone = {}, {}, 0

local function open_positions(bits, size, positions)
  local open = {}
  for _, position in ipairs(positions) do
    if position < size and redis.call('GETBIT', bits, position) == 0 then
      open[#open + 1] = position
    end
  end
  return open
end

local function park(campaign, ordinal, doubt)
  local counts = P .. 'count:' .. campaign
  if (tonumber(redis.call('HGET', P .. 'waiting', 'parked')) or 0) >= KEPT_DOUBTS then
    redis.call('HINCRBY', counts, '=unkept', 1)
  elseif redis.call('HSET', P .. 'doubts:' .. campaign, ordinal, doubt) == 1 then
    redis.call('SADD', P .. 'doubted', campaign)
    redis.call('HINCRBY', P .. 'waiting', 'parked', 1)
    redis.call('HINCRBY', counts, '=parked', 1)
  end
end

-- Count what came of attempts at positions that are settled only now, for the lane and the identity; how many used a unit.
local function tell_marks(held, marks, identity, fresh)
  local used, lane, day = 0, held[4], tonumber(held[5])
  local name = string.match(lane, '^(.*/)~') -- those of receivers without a profile are counted together
  for what, told in pairs(marks) do
    local count = 0
    for _, position in ipairs(told[2]) do
      count = count + (fresh[position] and 1 or 0)
    end
    if count > 0 then
      mark(P, name and name .. 'other' or lane, day, what, count)
      if identity ~= '' then
        mark(P, identity, day, what, count)
      end
      used = used + told[1] * count
    end
  end
  return used
end

for number, settlement in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id, final, returns, events = settlement[1], settlement[2], settlement[3], settlement[4]
  local record, bits = P .. 'lease:' .. id, P .. 'settled:' .. id
  local held = redis.call('HMGET', record, 'route', 'campaign', 'size', 'lane', 'day', 'granted')
  if held[1] then
    local route, campaign, size = held[1], held[2], tonumber(held[3])
    local settled, fresh = 0, {}
    for state, positions in pairs(final) do
      local new, doubts = 0, state == 'unknown' and settlement[5] or {}
      for _, position in ipairs(positions) do
        if position < size and redis.call('SETBIT', bits, position, 1) == 0 then
          new = new + 1
          fresh[position] = true
          if doubts[position] then
            park(campaign, doubts[position][1], ARGV[doubts[position][2]])
          end
        end
      end
      if new > 0 then
        count(P, campaign, state, route, new)
      end
      settled = settled + new
    end
    for place, back in ipairs(returns) do
      local due, positions, pack, tried = back[1], back[2], ARGV[back[3]], back[4]
      local to = back[5] ~= '' and back[5] or route
      local open = open_positions(bits, size, positions)
      if #open == #positions then
        for _, position in ipairs(open) do
          redis.call('SETBIT', bits, position, 1)
          fresh[position] = true
        end
        settled = settled + #open
        if due > 0 then
          redis.call('ZADD', P .. 'later:' .. campaign, due, struct.pack('s', to) .. pack)
          redis.call('ZADD', KEYS[2], 'LT', due, campaign)
          redis.call('HINCRBY', P .. 'waiting', 'later', #open)
          if tried > 0 then
            count(P, campaign, 'deferred', route, tried)
          end
        else
          put(P, to, campaign, pack)
          refund(P, campaign, #open)
        end
      elseif #open > 0 then
        partly[#partly + 1] = { number - 1, place - 1, unpack(open) }
      end
    end
    if settled > 0 then
      told[#told + 1] = ARGV[events]
      redis.call('HINCRBY', P .. 'waiting', 'leased', -settled)
      if held[5] then -- not a lease of an earlier program
        local used, units, granted = tell_marks(held, settlement[6] or {}, settlement[7] or '', fresh), 0, tonumber(held[6])
        for position in pairs(fresh) do
          units = units + (position < granted and 1 or 0)
        end
        settle_units(P, held[4], units, used, now)
      end
      if redis.call('HINCRBY', record, 'left', -settled) <= 0 then
        redis.call('DEL', record, bits)
        redis.call('HDEL', KEYS[1], id)
      end
    end
  else
    for _, positions in pairs(final) do
      gone = gone + #positions
    end
    for _, back in ipairs(returns) do
      gone = gone + #back[2]
    end
  end
end
if #told > 0 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', kept, '*', 'v', 1, 'lines', table.concat(told, '\n'))
end
return { partly, gone }
