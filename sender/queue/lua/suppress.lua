#!lua
-- Keep addresses that get no mail, for one list or for all. Run with allow-oom too, as suppress_refused: what a settlement
-- adds is far less than the memory it frees, and a store that is full must still empty.
--
-- KEYS  1  penstock:{suppress}:all, or :list:<name>  hash    digest -> MessagePack {reason, source, at, expires (0: never)}
--       2  penstock:{suppress}:expiring              zset    digest and list's name -> when it expires
--       3  penstock:{suppress}:lists                 zset    names of lists that have had entries -> 0
--       4  penstock:{suppress}:news                  stream  v 1, n (counts up by one), list, digest, entry
--       5  penstock:{suppress}:told                  string  the last n
-- ARGV  1  the list's name, "" for all   2  how many news are kept, about   then two for each: digest, entry
-- Gives how many were new. One that is there stays unless it expires earlier; so telling it again changes nothing.

local list, kept, new = ARGV[1], ARGV[2], 0

local function read(entry)
  local whole, values = pcall(cmsgpack.unpack, entry)
  if whole and type(values) == 'table' and type(values[4]) == 'number' then
    return values[3], values[4]
  end
  return 0, 1 -- not of our writing: as good as expired
end

for place = 3, #ARGV, 2 do
  local digest, entry = ARGV[place], ARGV[place + 1]
  local at, expires = read(entry)
  local found, lasts = redis.call('HGET', KEYS[1], digest), 0
  if found then
    lasts = select(2, read(found))
  end
  if not found or (lasts > 0 and (expires == 0 or expires > lasts)) then
    if not found or lasts <= at then
      new = new + 1
    end
    redis.call('HSET', KEYS[1], digest, entry)
    if expires > 0 then
      redis.call('ZADD', KEYS[2], expires, digest .. list)
    else
      redis.call('ZREM', KEYS[2], digest .. list)
    end
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', kept, '*', 'v', 1, 'n', redis.call('INCR', KEYS[5]),
      'list', list, 'digest', digest, 'entry', entry)
  end
end
if list ~= '' and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('ZADD', KEYS[3], 0, list)
end
return new
