#!lua flags=allow-oom
-- Keep what could not be used. Allowed when memory is short: as many as `bury.lua` keeps, and what they stand for goes.
--
-- KEYS  1  penstock:{inbox}:dead  stream  see bury.lua
-- ARGV  1  how many are kept, about   2  entry   3  campaign   4  why   5  payload

redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'v', 1, 'entry', ARGV[2], 'campaign', ARGV[3],
  'why', ARGV[4], 'payload', ARGV[5])
