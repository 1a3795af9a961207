#!lua flags=no-writes
-- How much waits in one partition. Receivers without a profile are counted together: there may be any number of them.
--
-- KEYS  1  P waiting  hash  see route.lua
-- Gives {envelopes leased, envelopes for later, route, envelopes ready, how many of them are set aside, ...}

local waiting = redis.call('HGETALL', KEYS[1])
local others = {} -- leased and later
local counts = { ready = {}, aside = {} }
for place = 1, #waiting, 2 do
  local what, route = string.match(waiting[place], '^(%l+) (.*)$')
  local envelopes = tonumber(waiting[place + 1])
  if route then
    route = string.gsub(route, '/~.*$', '/other')
    counts[what][route] = (counts[what][route] or 0) + envelopes
  else
    others[waiting[place]] = envelopes
  end
end
local answer = { others['leased'] or 0, others['later'] or 0 }
for route, envelopes in pairs(counts.ready) do
  answer[#answer + 1] = route
  answer[#answer + 1] = envelopes
  answer[#answer + 1] = counts.aside[route] or 0
end
return answer
