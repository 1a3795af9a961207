#!lua flags=allow-oom
-- An owner becomes a member. Allowed when memory is short: a full store must be drained by somebody.
--
-- KEYS  1  penstock:{fleet}:members  hash  owner -> how often it has beaten
--       2  penstock:{fleet}:fenced   hash  owner -> 1, until all that it held is given back; 2 where its journal has
--                                        told all it knew: what it has not settled, nobody has sent
-- ARGV  1  owner
-- Gives 1, or 0 for an owner that was fenced.

if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then
  return 0
end
redis.call('HSETNX', KEYS[1], ARGV[1], 0)
return 1
