#!lua flags=allow-oom
-- Write down a chunk before any of it is applied: from here on it will be finished, whoever dies.
--
-- A full store takes it too: what it holds is in the inbox already, and leaves it with the commit. Refused, the store could
-- be full of rows that nobody may turn into packs, and would never empty.
--
-- KEYS  1  penstock:{<campaign>}:progress  hash  chunk: the next number; last: digest of the one before;
--                                            end: batches; finished: 1 once its content is gone;
--                                            scheduled: 1 where start, windows, deadline or rate hold it back
--       2  penstock:{<campaign>}:staged    hash  digest, chunk: the chunk begun and not finished
-- ARGV  1  number   2  digest   3  the chunk
-- Gives "staged" (go on and apply it), "done" (it was applied before) or "taken" (another chunk has that number).

local number = tonumber(ARGV[1])
local progress = redis.call('HMGET', KEYS[1], 'chunk', 'last')
local next_number = tonumber(progress[1] or '0')
if number ~= next_number then
  return number == next_number - 1 and progress[2] == ARGV[2] and 'done' or 'taken'
end
local staged = redis.call('HGET', KEYS[2], 'digest')
if not staged then
  redis.call('HSET', KEYS[2], 'digest', ARGV[2], 'chunk', ARGV[3])
  return 'staged'
end
return staged == ARGV[2] and 'staged' or 'taken'
