#!lua flags=allow-oom
-- What an owner's lanes do, in place of what it said before. A full store is when one wants to know.
--
-- KEYS  1  penstock:{fleet}:reporters      set     owners that report
--       2  penstock:{fleet}:lanes:<owner>  string  its reports
--       computed: the same of the other owners
-- ARGV  1  owner   2  reports   3  seconds until they are forgotten: they are about now, or about nothing
-- Gives how many owners report; those that no longer do are taken off.

redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('SADD', KEYS[1], ARGV[1])
local prefix = string.sub(KEYS[2], 1, #KEYS[2] - #ARGV[1])
for _, owner in ipairs(redis.call('SRANDMEMBER', KEYS[1], 50)) do
  if redis.call('EXISTS', prefix .. owner) == 0 then
    redis.call('SREM', KEYS[1], owner)
  end
end
return redis.call('SCARD', KEYS[1])
