#!lua flags=no-writes
-- The routes of one partition that have work which may be leased, oldest first.
--
-- KEYS  1  P routes   zset  route -> when its oldest ready envelope was queued
--       2  P waiting  hash  "ready <route>" -> envelopes; "aside <route>" -> those of them that nobody may lease now
-- ARGV  1  how many to pass over   2  how many at most
-- Gives for each {route, oldest, envelopes}

local start, count = tonumber(ARGV[1]), tonumber(ARGV[2])
if count == 0 then -- the range below would be all
  return {}
end
local routes = redis.call('ZRANGE', KEYS[1], start, start + count - 1, 'WITHSCORES')
local ready = {}
for place = 1, #routes, 2 do
  local counts = redis.call('HMGET', KEYS[2], 'ready ' .. routes[place], 'aside ' .. routes[place])
  local envelopes = (tonumber(counts[1]) or 0) - (tonumber(counts[2]) or 0)
  ready[#ready + 1] = { routes[place], routes[place + 1], envelopes }
end
return ready
