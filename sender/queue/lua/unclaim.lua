#!lua flags=allow-oom
-- An owner lets go of lanes.
--
-- KEYS  1  P claims  hash  lane -> "<epoch> <renewed at> <owner>"
-- ARGV  1  owner   then lanes; without any, all that it has here
-- Gives how many claims were freed.

local owner, lanes = ARGV[1], { unpack(ARGV, 2) }
if #lanes == 0 then
  lanes = redis.call('HKEYS', KEYS[1])
end
local freed = 0
for _, lane in ipairs(lanes) do
  if string.match(redis.call('HGET', KEYS[1], lane) or '', '^%d+ %S+ (.*)$') == owner then
    freed = freed + redis.call('HDEL', KEYS[1], lane)
  end
end
return freed
