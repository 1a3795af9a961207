#!lua flags=allow-oom
-- Give a group's reader the next entries of one events stream, and beat. A full store is read on: see join.lua.
--
-- KEYS  1  P events   stream  see settle.lua
--       2  P readers  hash    see open_group.lua
-- ARGV  1  group   2  reader   3  entries, at most   4  "<beat> <reader>" of another reader that lives no more, or ""
-- Gives {"", lost, id, lines, id, lines ...}, or {"<beat> <reader>"} of the other reader who holds it.
--
-- All that a group has under way belongs to one consumer name: who takes the stream over finds it there. Only entries at the
-- front ever go (MAXLEN, MINID), so that what was added, less what is there, says how many have gone. What servers say of a
-- group's own lag is not asked: it is unknown or off after trimming, and how differs between versions.

local group, reader, most, NAME = ARGV[1], ARGV[2], tonumber(ARGV[3]), 'penstock'
local held = redis.call('HGET', KEYS[2], group)
local beat, holder = string.match(held or '', '^(%d+) (.*)$')
if held and holder ~= reader and held ~= ARGV[4] then
  return { held }
end
redis.call('HSET', KEYS[2], group, string.format('%d %s', (beat or 0) + 1, reader))
if most == 0 then
  return { '', 0 }
end

local given, gone, lost, count = {}, {}, 0, 0

local function take(from)
  local command = { 'XREADGROUP', 'GROUP', 'penstock:' .. group, NAME, 'COUNT', most, 'STREAMS', KEYS[1], from }
  local answer = redis.call(unpack(command))
  for _, entry in ipairs(answer and answer[1][2] or {}) do
    if entry[2] then
      given[#given + 1] = entry[1]
      given[#given + 1] = entry[2][4]
      count = count + 1
    else
      gone[#gone + 1] = entry[1]
    end
  end
end

repeat -- behind those that have gone there may be others under way, all of one reading: they come before anything new
  gone = {}
  take('0')
  if #gone > 0 then
    redis.call('XACK', KEYS[1], 'penstock:' .. group, unpack(gone))
    lost = lost + #gone
  end
until count > 0 or #gone == 0
if count == 0 then
  local info, facts = redis.call('XINFO', 'STREAM', KEYS[1]), {}
  for place = 1, #info, 2 do
    facts[info[place]] = info[place + 1]
  end
  local passed = facts['entries-added'] - facts['length']
  local read = tonumber(redis.call('HGET', KEYS[2], group .. ' read')) or passed
  lost, read = lost + math.max(0, passed - read), math.max(passed, read)
  take('>')
  redis.call('HSET', KEYS[2], group .. ' read', string.format('%d', read + count))
end
return { '', lost, unpack(given) }
