#!lua flags=allow-oom
-- Forget suppressions that have expired.
--
-- KEYS  1  penstock:{suppress}:expiring  zset  see suppress.lua
--       2  penstock:{suppress}:lists     zset
--       computed, because they follow from what has expired: the hashes of suppress.lua
-- ARGV  1  now   2  how many at most   3  octets of a digest
-- Gives how many: none when it is told again.

local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(expired) do
  local digest, list = string.sub(name, 1, ARGV[3]), string.sub(name, ARGV[3] + 1)
  local entries = 'penstock:{suppress}:all'
  if list ~= '' then
    entries = 'penstock:{suppress}:list:' .. list
  end
  redis.call('HDEL', entries, digest)
  if redis.call('EXISTS', entries) == 0 then
    redis.call('ZREM', KEYS[2], list)
  end
end
if #expired > 0 then
  redis.call('ZREM', KEYS[1], unpack(expired))
end
return #expired
