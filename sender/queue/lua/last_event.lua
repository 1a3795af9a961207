#!lua flags=no-writes
-- The newest event about one envelope, among the newest events of a partition.
--
-- KEYS  1  P events  stream  see settle.lua
-- ARGV  1  what its line begins with   2  entries looked at, at most   3  octets looked at, about
-- Gives {line, milliseconds when it was stored} or nothing.

local entries, octets, before, PIECE = tonumber(ARGV[2]), tonumber(ARGV[3]), '+', 20
while entries > 0 and octets > 0 do
  local some = redis.call('XREVRANGE', KEYS[1], before, '-', 'COUNT', math.min(PIECE, entries))
  for _, entry in ipairs(some) do
    local name, lines = entry[1], entry[2][4]
    local at = lines and string.find(lines, ARGV[1], 1, true)
    if at then
      local stop = string.find(lines, '\n', at, true)
      return { string.sub(lines, at, stop and stop - 1 or -1), string.match(name, '^%d+') }
    end
    octets = octets - (lines and #lines or 0)
    before = '(' .. name
  end
  if #some < PIECE then
    return {}
  end
  entries = entries - #some
end
return {}
