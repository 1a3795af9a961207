#!lua flags=allow-oom
-- Move announcements that can't be used to the dead letters.
--
-- KEYS  1  penstock:{inbox}:campaigns  stream  announcements
--       2  penstock:{inbox}:dead       stream  v 1, entry, campaign, why, payload
-- ARGV  1  how many dead letters are kept, about   then four for each: entry, campaign, why, payload
-- Gives how many were moved: none when it is told again.

local moved = 0
for place = 2, #ARGV, 4 do
  local entry, campaign, why, payload = ARGV[place], ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
  if redis.call('XDEL', KEYS[1], entry) == 1 then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'v', 1, 'entry', 'campaigns/' .. entry,
      'campaign', campaign, 'why', why, 'payload', payload)
    moved = moved + 1
  end
end
return moved
