#!lua flags=allow-oom
-- Take unusable entries out of a campaign's inbox; their batches may be submitted again, corrected.
--
-- KEYS  1  penstock:{<campaign>}:rows  stream  see add_rows.lua
--       2  penstock:{<campaign>}:seen  bitmap  batches submitted
--       3  penstock:{<campaign>}:done  bitmap  batches expanded
-- ARGV  1  the largest batch number   then entries
-- Gives how many were there.

local dropped = 0
for place = 2, #ARGV do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[place], ARGV[place])[1]
  if entry then
    for at = 1, #entry[2], 2 do
      local number = entry[2][at] == 'batch' and string.match(entry[2][at + 1], '^%d+$') and tonumber(entry[2][at + 1])
      if number and number <= tonumber(ARGV[1]) and redis.call('GETBIT', KEYS[3], number) == 0 then
        redis.call('SETBIT', KEYS[2], number, 0)
      end
    end
    dropped = dropped + redis.call('XDEL', KEYS[1], ARGV[place])
  end
end
return dropped
