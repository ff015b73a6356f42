#!lua flags=allow-oom
-- Marks about a log (S11, S12, S17). They are small, and wanted most when memory is full.
--
-- KEYS: log, meta, ids. ARGV: verb, reason or what snapshot keys begin with or the time, how many crashes set a log aside or how long one
-- step back may be noticed. Answers: {ok} | {crashes, how many} | {epoch, which}.
local meta, verb = KEYS[2], ARGV[1]
if verb == 'aside' then
  redis.call('HSETNX', meta, 'aside', ARGV[2])
elseif verb == 'release' then
  redis.call('HDEL', meta, 'aside', 'crashes')
elseif verb == 'crashed' then
  local crashes = redis.call('HINCRBY', meta, 'crashes', 1)
  if crashes >= tonumber(ARGV[3]) then redis.call('HSETNX', meta, 'aside', ARGV[2]) end
  return {'crashes', crashes}
elseif verb == 'rewound' then
  -- Several instances notice one step back, each in its own moment.
  local before = redis.call('HMGET', meta, 'head', 'epoch', 'rewound_at')
  local epoch = tonumber(before[2] or '0')
  if before[1] and tonumber(ARGV[2]) - tonumber(before[3] or '0') >= tonumber(ARGV[3]) then
    epoch = epoch + 1
    redis.call('HSET', meta, 'epoch', epoch, 'rewound_at', ARGV[2])
  end
  return {'epoch', epoch}
elseif verb == 'loaded' then
  redis.call('HDEL', meta, 'crashes')
elseif verb == 'delete' then
  local snapshots = redis.call('HGET', meta, 'snaps') or ''
  for object in string.gmatch(snapshots, '%d+ (%S+) %d+ %d+ %S+\n') do redis.call('UNLINK', ARGV[2] .. object) end
  redis.call('UNLINK', KEYS[1], meta, KEYS[3])
end
return {'ok'}
