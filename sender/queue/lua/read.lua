#!lua flags=no-writes
-- Read the oldest entries of an inbox stream, as much as the reader can take.
--
-- KEYS  1  a stream
-- ARGV  1  entries at most   2  octets of one entry at most   3  octets looked at, at most: the first entry comes anyhow
-- Gives for each entry {id, {name, value ...}}, or {id, octets} where it is too large to be handed over.
--
-- What is too large counts too: it is copied to be looked at, and many of them would keep the server busy for seconds.

local limit, entry_max, total_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local entries, start, total = {}, '-', 0
while #entries < limit and total < total_max do
  local entry = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 1)[1]
  if not entry then
    break
  end
  local size = 0
  for _, text in ipairs(entry[2]) do
    size = size + #text
  end
  total = total + size
  if total > total_max and #entries > 0 then
    break
  end
  if size > entry_max then
    entry[2] = size
  end
  entries[#entries + 1] = entry
  start = '(' .. entry[1]
end
return entries
