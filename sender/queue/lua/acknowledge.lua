#!lua flags=allow-oom
-- Entries are dealt with, if the reader still holds the stream; and beat.
--
-- KEYS  1  P events   stream  see settle.lua
--       2  P readers  hash    see open_group.lua
-- ARGV  1  group   2  reader   then ids
-- Gives how many were under way.

local held = redis.call('HGET', KEYS[2], ARGV[1])
local beat, holder = string.match(held or '', '^(%d+) (.*)$')
if holder ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%d %s', beat + 1, holder))
return redis.call('XACK', KEYS[1], 'penstock:' .. ARGV[1], unpack(ARGV, 3))
