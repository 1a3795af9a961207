#!lua flags=allow-oom
-- Finish a chunk that every partition has applied: its entries leave the inbox.
--
-- KEYS  1  penstock:{<campaign>}:progress  hash    see stage.lua
--       2  penstock:{<campaign>}:staged    hash    see stage.lua
--       3  penstock:{<campaign>}:rows      stream  the inbox
--       4  penstock:{<campaign>}:done      bitmap  batches expanded
-- ARGV  1  number   2  entries to drop, MessagePack   3  batch numbers, MessagePack
-- Gives 1, or 0 when it is told again.

local number = tonumber(ARGV[1])
if number ~= tonumber(redis.call('HGET', KEYS[1], 'chunk') or '0') then
  return 0
end
for _, entry in ipairs(cmsgpack.unpack(ARGV[2])) do
  redis.call('XDEL', KEYS[3], entry)
end
for _, batch in ipairs(cmsgpack.unpack(ARGV[3])) do
  redis.call('SETBIT', KEYS[4], batch, 1)
end
redis.call('HSET', KEYS[1], 'chunk', number + 1, 'last', redis.call('HGET', KEYS[2], 'digest') or '')
redis.call('DEL', KEYS[2])
return 1
