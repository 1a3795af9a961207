#!lua flags=allow-oom
-- Hold a scheduled campaign in one partition before anything of it can be leased, once in its life.
--
-- KEYS  1  P holds             hash  see route.lua
--       2  P count:<campaign>  hash  "=scheduled": this was done; so whoever comes late does not undo what a scheduler said
-- ARGV  1  campaign
-- Gives 1, or 0 when it is told again.

if redis.call('HSETNX', KEYS[2], '=scheduled', 1) == 0 then
  return 0
end
return redis.call('HSETNX', KEYS[1], ARGV[1], '-inf inf')
