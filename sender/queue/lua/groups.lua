#!lua flags=no-writes
-- Where groups of readers stand on one events stream.
--
-- KEYS  1  P events   stream  see settle.lua
--       2  P readers  hash    see open_group.lua
-- ARGV  1  of so many entries that a group has not acknowledged, the oldest, the events are counted
--       then names as the store has them: of all groups, others' too, where none is given
-- Gives for each {name, entries not acknowledged or -1 where nobody can tell, how many of them are under way, milliseconds when
-- the oldest of them was stored or "", entries whose events were counted, these events, "<at> <why>" of the last failure or "",
-- then who reads: "<beat> <reader>" of ours, or the names of others' consumers that have something under way}.
--
-- What the server says of a group's lag is taken for groups of others alone: see read_events.lua.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end

local OURS, READERS = 'penstock:', 20

local function facts_of(flat)
  local facts = {}
  for place = 1, #flat, 2 do
    facts[flat[place]] = flat[place + 1]
  end
  return facts
end

local stream = facts_of(redis.call('XINFO', 'STREAM', KEYS[1]))
local passed = stream['entries-added'] - stream['length']

local function events_of(first, most)
  local entries = most > 0 and redis.call('XRANGE', KEYS[1], first, '+', 'COUNT', most) or {}
  local events = 0
  for _, entry in ipairs(entries) do
    local at = 0
    repeat
      events, at = events + 1, string.find(entry[2][4] or '', '\n', at + 1, true)
    until not at
  end
  return #entries, events
end

local function readers_of(facts, own)
  if own then
    local held = redis.call('HGET', KEYS[2], own)
    return held and { held } or {}
  end
  local names = {}
  for _, flat in ipairs(facts['pending'] > 0 and redis.call('XINFO', 'CONSUMERS', KEYS[1], facts['name']) or {}) do
    local consumer = facts_of(flat)
    if consumer['pending'] > 0 and #names < READERS then
      names[#names + 1] = consumer['name']
    end
  end
  return names
end

local function standing(facts)
  local name, pending = facts['name'], facts['pending']
  local own = string.sub(name, 1, #OURS) == OURS and string.sub(name, #OURS + 1) or nil
  local ahead = tonumber(facts['lag'] or nil)
  if own then
    local read = tonumber(redis.call('HGET', KEYS[2], own .. ' read')) or passed
    ahead = stream['entries-added'] - math.max(read, passed)
  end
  local oldest = pending > 0 and redis.call('XPENDING', KEYS[1], name)[2] or nil
  if not oldest and ahead ~= 0 then
    local next = redis.call('XRANGE', KEYS[1], '(' .. facts['last-delivered-id'], '+', 'COUNT', 1)[1]
    oldest = next and next[1]
  end
  local entries = ahead and ahead + pending or -1
  local counted, events = 0, 0
  if oldest then
    counted, events = events_of(oldest, math.min(entries, tonumber(ARGV[1])))
  end
  local failed = own and redis.call('HGET', KEYS[2], own .. ' failed') or ''
  local moment = oldest and string.match(oldest, '^%d+') or ''
  return { name, entries, pending, moment, counted, events, failed, unpack(readers_of(facts, own)) }
end

local wanted = {}
for place = 2, #ARGV do
  wanted[ARGV[place]] = true
end
local answer = {}
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = facts_of(flat)
  if #ARGV == 1 or wanted[facts['name']] then
    answer[#answer + 1] = standing(facts)
  end
end
return answer
