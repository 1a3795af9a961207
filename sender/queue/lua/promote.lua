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
  local route, campaign, start = struct.unpack('ss', member)
  local pack = string.sub(member, start)
  local size = pack_size(pack)
  if promoted > 0 and promoted + size > limit then
    break
  end
  redis.call('ZREM', KEYS[1], member)
  redis.call('HINCRBY', P .. 'waiting', 'later', -size)
  put(P, route, campaign, pack)
  promoted = promoted + size
end
return promoted
