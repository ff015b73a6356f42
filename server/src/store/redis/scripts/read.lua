#!lua flags=no-writes
-- Reads one page (S6, S7, S18).
--
-- KEYS: log, meta. ARGV: position, the id read there (or nothing), most bytes, most entries, whether the log may be set aside (1).
-- Answers: {none} | {aside, reason} | {rewound, head} | {trimmed, head, trimmed, snapshots} | {hole, position} |
-- {page, head, more, entries}.
local log, meta = KEYS[1], KEYS[2]
local after, after_id = tonumber(ARGV[1]), ARGV[2]
local most_bytes, most_entries = tonumber(ARGV[3]), tonumber(ARGV[4])

local found = redis.call('HMGET', meta, 'head', 'last', 'trimmed', 'aside', 'total', 'snaps')
if found[4] and ARGV[5] ~= '1' then return {'aside', found[4]} end
local head = tonumber(found[1] or '0')
local trimmed = tonumber(found[3] or '0')

if stands(log, head, found[2], trimmed, found[6] or '', after, after_id) == false then return {'rewound', int(head)} end

if head == 0 then return {'none'} end
if after < trimmed then return {'trimmed', int(head), int(trimmed), found[6] or ''} end
if after >= head then return {'page', int(head), 0, {}} end

-- How many entries fit is found by looking at a few of them: each says how many bytes stand before it.
local first = entry_at(log, after + 1)
if not first then return {'hole', int(after + 1)} end
local before = tonumber(field(first, 's') or '0')
local total = tonumber(found[5] or '0')
local last = math.min(head, after + most_entries)
local function fits(position)
  -- What stands before the entry after it, is everything up to it.
  if position == head then return total - before <= most_bytes end
  local entry = entry_at(log, position + 1)
  return entry and tonumber(field(entry, 's') or '0') - before <= most_bytes
end
if not fits(last) then
  local low, high = after + 1, last
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if fits(middle) then low = middle else high = middle end
  end
  last = low
end
local entries
if last == after + 1 then entries = {first} else entries = redis.call('XRANGE', log, int(after + 1), int(last)) end
return {'page', int(head), last < head and 1 or 0, entries}
