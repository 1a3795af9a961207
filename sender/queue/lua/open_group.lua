#!lua flags=allow-oom
-- Begin a group of readers on one events stream, where it is not there yet.
--
-- KEYS  1  P events   stream  see settle.lua
--       2  P readers  hash    group -> "<beat> <reader>", who holds the stream; "<group> read" -> how many of all entries that
--                             ever were have been given to it, or had gone; "<group> failed" -> see note_failure.lua
-- ARGV  1  group   2  "0": from the oldest entry, "$": behind the newest
-- Gives 1, or 0 where it was there.

local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], 'penstock:' .. ARGV[1], ARGV[2], 'MKSTREAM')
if made.err then
  return string.find(made.err, 'BUSYGROUP', 1, true) and 0 or made
end
local info, facts = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for place = 1, #info, 2 do
  facts[info[place]] = info[place + 1]
end
local passed = facts['entries-added'] - (ARGV[2] == '0' and facts['length'] or 0)
redis.call('HSET', KEYS[2], ARGV[1] .. ' read', passed)
return 1
