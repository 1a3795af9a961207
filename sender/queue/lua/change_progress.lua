#!lua flags=allow-oom
-- Write states of warmup, each only in place of the version it was made from, and tell the audit stream of those that are.
--
-- KEYS  1  penstock:{warmup}:progress  hash    name -> "<version> <octets>"
--       2  penstock:{warmup}:audit     stream  v 1, line: JSON
-- ARGV  1  how many entries of the audit stream are kept, about   then four for each: name, version it was made from (0: there
--       was none), octets ("" removes it), line for the audit ("": none)
-- Gives the names of those that were written.

local written = {}
for place = 2, #ARGV, 4 do
  local name, version, body, line = ARGV[place], ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
  local stands = redis.call('HGET', KEYS[1], name)
  if (stands and string.match(stands, '^%d+') or '0') == version then
    if body == '' then
      redis.call('HDEL', KEYS[1], name)
    else
      redis.call('HSET', KEYS[1], name, (tonumber(version) + 1) .. ' ' .. body)
    end
    if line ~= '' then
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'v', 1, 'line', line)
    end
    written[#written + 1] = name
  end
end
return written
