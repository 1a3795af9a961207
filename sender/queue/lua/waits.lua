#!lua flags=no-writes
-- Where a campaign waits in one partition.
--
-- KEYS  1  P where:<campaign>  hash  see route.lua
--       2  P later:<campaign>  zset  see route.lua
--       3  P aside:<campaign>  set   see route.lua
--       4  P budget            hash  see route.lua
--       computed, because routes come up here: P ages:<route> of route.lua
-- ARGV  1  how many routes are looked at, at most   2  how many are given, at most   3  campaign   4  P
-- Gives {envelopes ready (about, where not all routes are looked at), routes, later packs, when the first of them is due or
-- "", routes set aside, budget or "", route, envelopes, when the oldest of them was queued or "" where they are set aside,
-- ...}: most first.

local limit, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local total = redis.call('HLEN', KEYS[1])
local pairs_of = total <= limit and redis.call('HGETALL', KEYS[1]) or redis.call('HSCAN', KEYS[1], 0, 'COUNT', limit)[2]
local routes, ready = {}, 0
for place = 1, #pairs_of, 2 do
  routes[#routes + 1] = { pairs_of[place], tonumber(pairs_of[place + 1]) }
  ready = ready + tonumber(pairs_of[place + 1])
end
table.sort(routes, function(one, other)
  return one[2] > other[2] or (one[2] == other[2] and one[1] < other[1])
end)
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
ready = math.ceil(ready * total / math.max(1, #routes)) -- the others are like those
local answer = { ready, total, redis.call('ZCARD', KEYS[2]), first[2] or '',
  redis.call('SCARD', KEYS[3]), redis.call('HGET', KEYS[4], ARGV[3]) or '' }
for place = 1, math.min(#routes, most) do
  answer[#answer + 1] = routes[place][1]
  answer[#answer + 1] = routes[place][2]
  answer[#answer + 1] = redis.call('ZSCORE', ARGV[4] .. 'ages:' .. routes[place][1], ARGV[3]) or ''
end
return answer
