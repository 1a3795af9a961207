#!lua flags=allow-oom
-- Make what is due ready. With route.lua.
--
-- KEYS  1  P later  zset  route NUL campaign NUL pack -> when it is due
--       computed, because they follow from the members: those of route.lua
-- ARGV  1  P   2  now   3  how many envelopes at most; the first pack goes whatever it holds
-- Gives how many envelopes became ready.

local P, now, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local promoted = 0
while promoted < limit do
  local member = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1]
  if not member then
    break
  end
  local route, campaign, pack = string.match(member, '^(%Z+)%z(%Z+)%z(.+)$')
  local size = pack and pack_size(pack) or 0
  if promoted > 0 and promoted + size > limit then
    break
  end
  redis.call('ZREM', KEYS[1], member)
  if pack then -- else it was written by somebody else, and can be nobody's mail
    redis.call('HINCRBY', P .. 'waiting', 'later', -size)
    put(P, route, campaign, pack)
    promoted = promoted + size
  end
end
return promoted
