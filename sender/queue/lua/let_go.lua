#!lua flags=allow-oom
-- A group's reader holds the stream no more.
--
-- KEYS  1  P readers  hash  see open_group.lua
-- ARGV  1  group   2  reader
-- Gives 1, or 0 where it did not hold it.

local held = redis.call('HGET', KEYS[1], ARGV[1])
if string.match(held or '', '^%d+ (.*)$') ~= ARGV[2] then
  return 0
end
return redis.call('HDEL', KEYS[1], ARGV[1])
