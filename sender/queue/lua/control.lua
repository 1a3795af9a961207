#!lua flags=allow-oom
-- Write down an operator's word on a campaign, unless it was ended: that is for good. A full store must be told to stop, too.
--
-- KEYS  1  penstock:{inbox}:control  hash  campaign -> JSON: paused, ended, by, at, why
-- ARGV  1  campaign   2  the word, as JSON
-- Gives what stands then.

local stands = redis.call('HGET', KEYS[1], ARGV[1])
local ended = stands and cjson.decode(stands).ended
if ended and ended ~= cjson.null then
  return stands
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ARGV[2]
