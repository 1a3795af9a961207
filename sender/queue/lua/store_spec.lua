#!lua flags=allow-oom
-- Store a checked campaign; the first one wins. A ready-made message brings its one recipient along.
-- A full store takes it: see stage.lua.
--
-- KEYS  1  penstock:{<campaign>}:spec      string  the checked campaign
--       2  penstock:{<campaign>}:seen      bitmap  batches submitted
--       3  penstock:{<campaign>}:rows      stream  see add_rows.lua
--       4  penstock:{<campaign>}:progress  hash    see stage.lua
-- ARGV  1  spec   2  the recipient as a JSON line, or ""   3  1 where it is scheduled or 0
-- Gives whether the campaign that is stored, this one or one before it, is scheduled: 1, or 0.

local known = redis.call('HMGET', KEYS[4], 'finished', 'scheduled')
if known[1] or not redis.call('SET', KEYS[1], ARGV[1], 'NX') then
  return known[2] and 1 or 0
end
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[4], 'scheduled', 1)
end
if ARGV[2] ~= '' then
  redis.call('SETBIT', KEYS[2], 0, 1)
  redis.call('XADD', KEYS[3], '*', 'v', 1, 'batch', 0, 'rows', ARGV[2])
  redis.call('HSETNX', KEYS[4], 'end', 1)
end
return tonumber(ARGV[3])
