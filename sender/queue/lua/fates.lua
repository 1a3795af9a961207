#!lua flags=allow-oom
-- Note what became of recipients. Allowed when memory is short: two of them take an octet, and their packs go.
--
-- KEYS  1  penstock:{<campaign>}:fates:<segment>  bitfield  four bits an ordinal (fates.py), a million a segment
-- ARGV  1  {fate: {"#" and place in the segment ...}}, MessagePack
-- The last one told stands; telling it again changes nothing.

for fate, places in pairs(cmsgpack.unpack(ARGV[1])) do
  fate = tostring(fate) -- once: numbers are written out anew in each call
  for first = 1, #places, 500 do -- a call takes as many arguments as Lua's stack holds
    local command = { 'BITFIELD', KEYS[1] }
    for number = first, math.min(first + 499, #places) do
      local at = #command
      command[at + 1], command[at + 2], command[at + 3], command[at + 4] = 'SET', 'u4', places[number], fate
    end
    redis.call(unpack(command))
  end
end
