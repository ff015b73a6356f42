#!lua
-- Puts a log whose parts were laid under other names where none is (S19).
--
-- KEYS: log, meta, ids, the laid stream. ARGV: head, trimmed, the id of the last entry (or nothing), the log's life, bytes of all entries, when it was
-- changed, the list of snapshots, why it is set aside (or nothing), whether there are entries (1), for how many seconds ids are remembered,
-- what snapshot keys begin with, how many snapshots, their objects, and then positions and ids to remember.
-- Answers: {ok} | {conflict, head} | {gone}.
local log, meta, ids, laid = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local objects = tonumber(ARGV[12])

local head = redis.call('HGET', meta, 'head')
if head then return {'conflict', head} end
-- What lay here for too long has expired: it has to be written again.
if ARGV[9] == '1' and redis.call('EXISTS', laid) == 0 then return {'gone'} end
for object = 13, 12 + objects do
  if redis.call('EXISTS', ARGV[11] .. ARGV[object]) == 0 then return {'gone'} end
end

redis.call('UNLINK', log, ids)
if ARGV[9] == '1' then
  redis.call('RENAME', laid, log)
  redis.call('PERSIST', log)
end
for object = 13, 12 + objects do redis.call('PERSIST', ARGV[11] .. ARGV[object]) end
for at = 13 + objects, #ARGV, 2 do redis.call('ZADD', ids, ARGV[at], ARGV[at + 1]) end
redis.call('EXPIRE', ids, ARGV[10])
if ARGV[8] ~= '' then redis.call('HSETNX', meta, 'aside', ARGV[8]) end
redis.call('HSET', meta, 'head', ARGV[1], 'trimmed', ARGV[2], 'last', ARGV[3], 'life', ARGV[4], 'total', ARGV[5], 'base', 0, 'at', ARGV[6], 'snaps', ARGV[7])
return {'ok'}
