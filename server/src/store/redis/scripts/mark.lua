#!lua flags=allow-oom
-- Marks about a log (S11, S12, S17). They are small, and wanted most when memory is full.
--
-- KEYS: log, meta, ids. ARGV: verb, reason or what snapshot keys begin with, how many crashes set a log aside.
-- Answers: {ok} | {crashes, how many}.
local meta, verb = KEYS[2], ARGV[1]
if verb == 'aside' then
  redis.call('HSETNX', meta, 'aside', ARGV[2])
elseif verb == 'release' then
  redis.call('HDEL', meta, 'aside', 'crashes')
elseif verb == 'crashed' then
  local crashes = redis.call('HINCRBY', meta, 'crashes', 1)
  if crashes >= tonumber(ARGV[3]) then redis.call('HSETNX', meta, 'aside', ARGV[2]) end
  return {'crashes', crashes}
elseif verb == 'loaded' then
  redis.call('HDEL', meta, 'crashes')
elseif verb == 'delete' then
  local snapshots = redis.call('HGET', meta, 'snaps') or ''
  for object in string.gmatch(snapshots, '%d+ (%S+) %d+ %d+ %S+\n') do redis.call('UNLINK', ARGV[2] .. object) end
  redis.call('UNLINK', KEYS[1], meta, KEYS[3])
end
return {'ok'}
