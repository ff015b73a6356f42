#!lua
-- Appends one entry (S2 to S5, S18).
--
-- KEYS: log, meta, ids. ARGV: id, when, checksum, bytes, expectation (none, head or seen), its position, its id (or nothing), how many
-- ids to remember, for how many seconds, hint channel, instance.
-- Answers: {ok, position, created} | {known, position} | {aside, reason} | {conflict, head} | {rewound, head}.
--
-- Without any flag Redis refuses this script before it begins when it is out of memory, cannot save, or takes no writes; and what it
-- wrote is saved and replicated as a whole. So nothing here stops half way.
local log, meta, ids = KEYS[1], KEYS[2], KEYS[3]
local id, at, crc, bytes, expectation = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local wanted, wanted_id = tonumber(ARGV[6]), ARGV[7]
local remembered, remembered_for = tonumber(ARGV[8]), ARGV[9]

local found = redis.call('HMGET', meta, 'head', 'last', 'trimmed', 'aside', 'total', 'snaps', 'epoch')
if found[4] then return {'aside', found[4]} end
local head = tonumber(found[1] or '0')

local known = redis.call('ZSCORE', ids, id)
if known then
  -- A write, so that a WAIT that follows waits for a replica that has the entry.
  redis.call('EXPIRE', ids, remembered_for)
  return {'known', int(tonumber(known))}
end

if expectation == 'head' and wanted ~= head then return {'conflict', int(head)} end
-- A place that cannot be compared any more is no place to go on from: the caller has to read on first.
local trimmed = tonumber(found[3] or '0')
if expectation == 'seen' and not stands(log, head, found[2], trimmed, found[6] or '', wanted, wanted_id) then
  return {'rewound', int(head)}
end

local position = head + 1
local total = tonumber(found[5] or '0')
-- The checksum says where the entry belongs, too.
local bound = bit.bxor(tonumber(crc), position)
redis.call('XADD', log, int(position) .. '-' .. (found[7] or '0'), 'i', id, 't', at, 'c', bound, 's', int(total), 'b', bytes)
redis.call('HSET', meta, 'head', int(position), 'last', id, 'at', at, 'total', int(total + #bytes))
if head == 0 then redis.call('HSETNX', meta, 'life', id) end
redis.call('ZADD', ids, int(position), id)
redis.call('ZREMRANGEBYSCORE', ids, '-inf', int(position - remembered))
redis.call('EXPIRE', ids, remembered_for)
-- Only a hint: a user who may not publish still appends.
redis.pcall('SPUBLISH', ARGV[10], ARGV[11] .. ' ' .. int(position) .. ' ' .. id)
return {'ok', int(position), head == 0 and 1 or 0}
