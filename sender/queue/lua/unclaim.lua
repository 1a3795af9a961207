#!lua flags=allow-oom
-- An owner lets go of lanes.
--
-- KEYS  1  P claims  hash  lane -> "<epoch> <owner>"
-- ARGV  1  owner   then lanes; without any, all that it has here
-- Gives how many claims were freed.

local owner, freed = ARGV[1], 0

local function free(lane, claim)
  if claim and string.match(claim, '^%d+ (.*)$') == owner then
    freed = freed + redis.call('HDEL', KEYS[1], lane)
  end
end

if #ARGV == 1 then
  local claims = redis.call('HGETALL', KEYS[1])
  for place = 1, #claims, 2 do
    free(claims[place], claims[place + 1])
  end
end
for place = 2, #ARGV do
  free(ARGV[place], redis.call('HGET', KEYS[1], ARGV[place]))
end
return freed
