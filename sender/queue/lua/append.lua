#!lua flags=allow-oom
-- Append a chunk's packs and final states to one partition, once. With route.lua. A full store takes it: see stage.lua.
--
-- KEYS  1  P count:<campaign>  hash    see route.lua; "=chunk" is the last chunk applied here
--       2  P events            stream  see settle.lua
--       computed, to spare two keys a route: those of route.lua
-- ARGV  1  P   2  campaign   3  chunk number   4  priority   5  final states without a receiver, MessagePack
--       6  events, joined by line feeds   7  how many entries of events are kept, about   8  spill: see route.lua, or ""
--       then pairs: route, pack
-- Gives how many recipients were added: none when it is told again.
--
-- Chunks of a campaign come one after the other, so one number tells whether this one was here.

local P, campaign, number = ARGV[1], ARGV[2], tonumber(ARGV[3])
local applied = redis.call('HGET', KEYS[1], '=chunk')
if applied and tonumber(applied) >= number then
  return 0
end
redis.call('HSET', KEYS[1], '=chunk', number, '=priority', ARGV[4])
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[1], '=spill', ARGV[8])
end
local added = 0
for state, count in pairs(cmsgpack.unpack(ARGV[5])) do
  redis.call('HINCRBY', KEYS[1], state .. ' -', count)
  added = added + count
end
for place = 9, #ARGV, 2 do
  added = added + put(P, ARGV[place], campaign, ARGV[place + 1])
end
redis.call('HINCRBY', KEYS[1], '=accepted', added)
if ARGV[6] ~= '' then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '*', 'v', 1, 'lines', ARGV[6])
end
return added
