#!lua flags=allow-oom
-- Note where a campaign's rows end, by the first who says so, and drop the entries that did.
--
-- KEYS  1  penstock:{<campaign>}:progress  hash    see stage.lua
--       2  penstock:{<campaign>}:rows      stream  see add_rows.lua
-- ARGV  1  how many batches   then entries
-- Gives how many batches there are.

redis.call('HSETNX', KEYS[1], 'end', ARGV[1])
for place = 2, #ARGV do
  redis.call('XDEL', KEYS[2], ARGV[place])
end
return redis.call('HGET', KEYS[1], 'end')
