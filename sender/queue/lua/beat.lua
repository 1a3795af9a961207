#!lua flags=allow-oom
-- An owner beats, if it is a member. A full server must not make owners look dead: what they hold would go out twice.
--
-- KEYS  1  penstock:{fleet}:members  hash  see join.lua
-- ARGV  1  owner
-- Gives all members. To be told again only hurries a number that nobody waits for.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
end
return redis.call('HKEYS', KEYS[1])
