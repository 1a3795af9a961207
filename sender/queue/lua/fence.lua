#!lua flags=allow-oom
-- Declare owners dead for good, each only while its beat is still the one that was seen.
--
-- KEYS  1  penstock:{fleet}:members  hash  see join.lua
--       2  penstock:{fleet}:fenced   hash  see join.lua
-- ARGV  1  1 where their journals have told all they knew, or 0   then pairs: owner, beat ("" where it does not matter)
-- Gives those that are fenced now, also by an earlier call.

local fenced = {}
for place = 2, #ARGV, 2 do
  local owner, beat = ARGV[place], ARGV[place + 1]
  if beat == '' or redis.call('HGET', KEYS[1], owner) == beat then
    redis.call('HDEL', KEYS[1], owner)
    if ARGV[1] == '1' or redis.call('HEXISTS', KEYS[2], owner) == 0 then
      redis.call('HSET', KEYS[2], owner, 1 + ARGV[1])
    end
  end
  if redis.call('HEXISTS', KEYS[2], owner) == 1 then
    fenced[#fenced + 1] = owner
  end
end
return fenced
