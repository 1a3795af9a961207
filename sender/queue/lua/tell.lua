#!lua flags=allow-oom
-- Tell events that come with no change of a recipient's state. A full store takes them: what is told of is so already.
--
-- KEYS  1  P events  stream  see settle.lua
-- ARGV  1  events, joined by line feeds   2  how many entries of events are kept, about

redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'v', 1, 'lines', ARGV[1])
return 1
