#!lua flags=allow-oom
-- End a durable batch with a small write: see durable.py. A full store takes it, because expanding ends with it, too.
--
-- KEYS  1  penstock:{<tag>}:confirmed  string  1; beside what the batch has written
-- ARGV  1  seconds until it goes by itself

redis.call('SET', KEYS[1], 1, 'EX', ARGV[1])
