#!lua flags=allow-oom
-- A campaign is finished: its content goes at once; its id and counters stay a while, so that a repeat is known as one.
--
-- KEYS  1  penstock:{<campaign>}:spec      string  the checked campaign
--       2  penstock:{<campaign>}:progress  hash    finished: 1; see stage.lua
--       3  penstock:{<campaign>}:rows      stream  goes where it is empty: of one message it is a good part of what stays
-- Gives 1, or 0 when it is told again.

redis.call('HSET', KEYS[2], 'finished', 1)
if redis.call('XLEN', KEYS[3]) == 0 then
  redis.call('UNLINK', KEYS[3])
end
return redis.call('UNLINK', KEYS[1])
