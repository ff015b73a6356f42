-- What the scripts that speak of a place in a log share; it goes in front of each of them.

local function int(number) return string.format('%.0f', number) end

local function field(entry, name)
  for at = 1, #entry[2], 2 do
    if entry[2][at] == name then return entry[2][at + 1] end
  end
end

local function entry_at(log, position) return redis.call('XRANGE', log, int(position), int(position))[1] end

-- S18: whether the entry with this id still stands at this position; nil where that cannot be told, because it was trimmed and no snapshot
-- remembers it.
local function stands(log, head, last, trimmed, snapshots, position, id)
  if id == '' or position == 0 then return true end
  if position > head then return false end
  if position == head then return last == id end
  if position > trimmed then
    local entry = entry_at(log, position)
    return entry and field(entry, 'i') == id or false
  end
  local hex = string.gsub(id, '.', function(c) return string.format('%02x', string.byte(c)) end)
  for covers, remembered in string.gmatch(snapshots, '(%d+) %S+ %d+ %d+ (%S+)\n') do
    if tonumber(covers) == position and remembered ~= '-' then return remembered == hex end
  end
end
