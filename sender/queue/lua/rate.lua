#!lua flags=allow-oom
-- Take from a campaign's token bucket, which is full when it is first used.
--
-- KEYS  1  penstock:{<campaign>}:rate  hash  tokens, at: when they were counted, grants: how many times something was taken
-- ARGV  1  envelopes a second   2  the most there may be, tokens and budgets together   3  now   4  given back by partitions
--       5  envelopes in their budgets   6  how many are wanted
-- Gives {how many were taken: whole ones, the number of this grant}.
--
-- Time never goes back: of several callers the one whose clock is ahead counts, and nobody counts a moment twice.

local rate, most, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local returned, out, wanted = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(held[1] or most), tonumber(held[2] or now)
tokens = math.min(tokens + returned + math.max(0, now - at) * rate, math.max(0, most - out))
local taken = math.min(math.floor(tokens), wanted)
redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', tokens - taken), 'at', string.format('%.6f', math.max(at, now)))
return { taken, redis.call('HINCRBY', KEYS[1], 'grants', 1) }
