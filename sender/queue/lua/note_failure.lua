#!lua flags=allow-oom
-- Keep when a group's reader could last not deliver, and why: for whoever looks. A full store takes it: it is one line.
--
-- KEYS  1  P readers  hash  see open_group.lua
-- ARGV  1  group   2  Unix seconds   3  why
-- Gives 1.

redis.call('HSET', KEYS[1], ARGV[1] .. ' failed', ARGV[2] .. ' ' .. ARGV[3])
return 1
