#!lua flags=no-writes
-- What time it is. A script, because the command has no key: so that it is one clock also where there are many servers.
--
-- KEYS  1  penstock:{fleet}:members  not read: its server is the one that is asked
-- Gives {seconds, microseconds} since 1970.

return redis.call('TIME')
