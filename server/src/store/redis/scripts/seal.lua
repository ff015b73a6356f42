#!lua flags=allow-oom
-- Makes a stored and compared snapshot the newest one, and lets go what no kept snapshot needs (S8, S9, S18). Or, without a life, only says
-- whether it would: that is asked before the work of storing it.
--
-- KEYS: log, meta. ARGV: what it covers, the id of that entry (or nothing), the log's life (or nothing), what snapshot keys begin with, the
-- object, its length, its checksum, the id for people (or -), how many snapshots stay.
-- Answers: {ok, life} | {gone} | {aside, reason} | {rewound, head} | {ahead, head} | {stale, newest}.
--
-- It may run when memory is full, because it frees some. What it writes first keeps the new snapshot; what it writes last is the trim.
local log, meta = KEYS[1], KEYS[2]
local covers, last_id = tonumber(ARGV[1]), ARGV[2]

local found = redis.call('HMGET', meta, 'head', 'last', 'trimmed', 'aside', 'life', 'snaps', 'base')
if found[4] then return {'aside', found[4]} end
local head = tonumber(found[1] or '0')
local trimmed = tonumber(found[3] or '0')
local snapshots, newest = found[6] or '', 0
for kept in string.gmatch(snapshots, '(%d+) %S+ %d+ %d+ %S+\n') do newest = math.max(newest, tonumber(kept)) end

if stands(log, head, found[2], trimmed, snapshots, covers, last_id) == false then return {'rewound', int(head)} end
if covers > head or head == 0 then return {'ahead', int(head)} end
if covers == 0 or covers < newest then return {'stale', int(newest)} end
local life = found[5] or ''
if ARGV[3] == '' then return {'ok', life} end

local prefix, object, length, crc = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
-- Deleted and begun again meanwhile: this snapshot belongs to another life.
if ARGV[3] ~= life then return {'ahead', int(head)} end
-- It has lain here too long and expired: it has to be written again.
if redis.call('EXISTS', prefix .. object) == 0 then return {'gone'} end

local lines = {int(covers) .. ' ' .. object .. ' ' .. length .. ' ' .. crc .. ' ' .. ARGV[8] .. '\n'}
local garbage, oldest = {}, covers
for line, kept, kept_object in string.gmatch(snapshots, '((%d+) (%S+) %d+ %d+ %S+\n)') do
  if tonumber(kept) == covers or #lines >= tonumber(ARGV[9]) then
    garbage[#garbage + 1] = prefix .. kept_object
  else
    lines[#lines + 1] = line
    oldest = tonumber(kept)
  end
end

-- Everything that can fail was asked above.
local base = found[7] or '0'
if oldest > trimmed then
  local entry = entry_at(log, oldest)
  if entry then base = int(tonumber(field(entry, 's') or '0') + #(field(entry, 'b') or '')) end
  trimmed = oldest
end
redis.call('PERSIST', prefix .. object)
redis.call('HSET', meta, 'snaps', table.concat(lines), 'trimmed', int(trimmed), 'base', base)
for _, key in ipairs(garbage) do redis.call('UNLINK', key) end
redis.call('XTRIM', log, 'MINID', int(trimmed + 1) .. '-0')
return {'ok', life}
