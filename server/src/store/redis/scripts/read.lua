#!lua flags=no-writes
-- Reads one page (S6, S7, S18).
--
-- KEYS: log, meta. ARGV: position, the id read there (or nothing), most bytes, most entries, whether the log may be set aside (1).
-- Answers: {none} | {aside, reason} | {rewound, head} | {trimmed, head, trimmed, snapshots} | {hole, position} |
-- {page, head, more, entries}.
local log, meta = KEYS[1], KEYS[2]
local after, after_id = tonumber(ARGV[1]), ARGV[2]
local most_bytes, most_entries = tonumber(ARGV[3]), tonumber(ARGV[4])

local function int(number) return string.format('%.0f', number) end
local function field(entry, name)
  for at = 1, #entry[2], 2 do
    if entry[2][at] == name then return entry[2][at + 1] end
  end
end
local function entry_at(position) return redis.call('XRANGE', log, int(position), int(position))[1] end

local found = redis.call('HMGET', meta, 'head', 'last', 'trimmed', 'aside', 'total', 'snaps')
if found[4] and ARGV[5] ~= '1' then return {'aside', found[4]} end
local head = tonumber(found[1] or '0')
local trimmed = tonumber(found[3] or '0')

if after_id ~= '' and after > 0 then
  local stands = true
  if after > head then
    stands = false
  elseif after == head then
    stands = found[2] == after_id
  elseif after > trimmed then
    local entry = entry_at(after)
    stands = entry and field(entry, 'i') == after_id
  else
    for covers, last in string.gmatch(found[6] or '', '(%d+) %S+ %d+ %d+ (%S+)\n') do
      if tonumber(covers) == after and last ~= '-' then
        local hex = string.gsub(after_id, '.', function(c) return string.format('%02x', string.byte(c)) end)
        stands = last == hex
      end
    end
  end
  if not stands then return {'rewound', int(head)} end
end

if head == 0 then return {'none'} end
if after < trimmed then return {'trimmed', int(head), int(trimmed), found[6] or ''} end
if after >= head then return {'page', int(head), 0, {}} end

-- How many entries fit is found by looking at a few of them: each says how many bytes stand before it.
local first = entry_at(after + 1)
if not first then return {'hole', int(after + 1)} end
local before = tonumber(field(first, 's') or '0')
local total = tonumber(found[5] or '0')
local last = math.min(head, after + most_entries)
local function fits(position)
  -- What stands before the entry after it, is everything up to it.
  if position == head then return total - before <= most_bytes end
  local entry = entry_at(position + 1)
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
