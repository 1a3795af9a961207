#!lua
-- Append batches of recipients to a campaign's inbox, each number once.
--
-- KEYS  1  penstock:{<campaign>}:seen  bitmap  batches submitted
--       2  penstock:{<campaign>}:rows  stream  v 1, batch, rows_z
-- ARGV  pairs: batch number, rows as JSON lines under zlib
-- Gives how many were new.

local new = 0
for place = 1, #ARGV, 2 do
  if redis.call('SETBIT', KEYS[1], ARGV[place], 1) == 0 then
    redis.call('XADD', KEYS[2], '*', 'v', 1, 'batch', ARGV[place], 'rows_z', ARGV[place + 1])
    new = new + 1
  end
end
return new
