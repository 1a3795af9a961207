#!lua
-- Store a checked campaign; the first one wins. A ready-made message brings its one recipient along.
--
-- KEYS  1  penstock:{<campaign>}:spec      string  the checked campaign
--       2  penstock:{<campaign>}:seen      bitmap  batches submitted
--       3  penstock:{<campaign>}:rows      stream  see add_rows.lua
--       4  penstock:{<campaign>}:progress  hash    see stage.lua
-- ARGV  1  spec   2  the recipient as a JSON line, or ""
-- Gives 1, or 0 where there was one, or had been: see drop_spec.lua.

if redis.call('HEXISTS', KEYS[4], 'finished') == 1 then
  return 0
end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX') then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('SETBIT', KEYS[2], 0, 1)
  redis.call('XADD', KEYS[3], '*', 'v', 1, 'batch', 0, 'rows', ARGV[2])
  redis.call('HSETNX', KEYS[4], 'end', 1)
end
return 1
