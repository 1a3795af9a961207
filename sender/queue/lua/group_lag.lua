#!lua flags=no-writes
-- How far groups of readers are behind on one events stream.
--
-- KEYS  1  P events   stream  see settle.lua
--       2  P readers  hash    see open_group.lua
-- ARGV  groups
-- Gives for each {entries not acknowledged, milliseconds when the oldest of them was stored or "", lost}, or nothing where
-- it is not there.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end

local function facts_of(flat)
  local facts = {}
  for place = 1, #flat, 2 do
    facts[flat[place]] = flat[place + 1]
  end
  return facts
end

local stream, groups, answer = facts_of(redis.call('XINFO', 'STREAM', KEYS[1])), {}, {}
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = facts_of(flat)
  groups[facts['name']] = facts
end
local passed = stream['entries-added'] - stream['length']
for place, name in ipairs(ARGV) do
  local facts = groups['penstock:' .. name]
  if facts then
    local kept = redis.call('HMGET', KEYS[2], name .. ' read', name .. ' lost')
    local read, lost = tonumber(kept[1]) or passed, tonumber(kept[2]) or 0
    local ahead = stream['entries-added'] - math.max(read, passed)
    local oldest = facts['pending'] > 0 and redis.call('XPENDING', KEYS[1], 'penstock:' .. name)[2] or nil
    if not oldest and ahead > 0 then
      local next = redis.call('XRANGE', KEYS[1], '(' .. facts['last-delivered-id'], '+', 'COUNT', 1)[1]
      oldest = next and next[1]
    end
    answer[place] = { ahead + facts['pending'], oldest and string.match(oldest, '^%d+') or '', lost + math.max(0, passed - read) }
  else
    answer[place] = {}
  end
end
return answer
