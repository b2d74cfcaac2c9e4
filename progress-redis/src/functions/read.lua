local function entries(stream, from)
  local records = call('XRANGE', stream, from, '+')
  for i, entry in ipairs(records) do
    records[i] = entry[2][2]
  end
  return records
end

local function one(found)
  return found[1] and found[1][2][2] or ''
end

-- One instant of a topic. KEYS base; ARGV generation and seq to read after, both 0 for none.
local function read(keys, args)
  local base = keys[1]
  local was = call('HMGET', base .. ':m', 'g', 'o', 'c', 'q', 'h', 'E')
  if not was[1] then
    return false
  end
  local run = run_of(base, tonumber(was[1]), was[2])
  local from = args[1] == was[1] and '(' .. args[1] .. '-' .. args[2] or '-'
  local ended = {}
  if was[6] then
    ended = { entries(base .. ':es', '-'), entries(base .. ':el', '-'), call('HVALS', base .. ':ev') }
  end
  return {
    was[1], was[2], was[3] or '', was[4] or '', was[5] or '',
    one(call('XRANGE', run .. ':s', '-', '+', 'COUNT', 1)),
    one(call('XREVRANGE', run .. ':s', '+', '-', 'COUNT', 1)),
    one(call('XREVRANGE', run .. ':l', '+', '-', 'COUNT', 1)),
    entries(run .. ':s', from), entries(run .. ':l', from), call('HVALS', run .. ':v'), ended,
  }
end

-- KEYS times. How long things last for those who do not say so; also answered when the memory is short,
-- and so what shows that the library is there.
local function times(keys)
  return call('HMGET', keys[1], 'stalled', 'abandoned', 'retention')
end

-- KEYS times; ARGV stalled, abandoned, retention.
local function agree(keys, args)
  call('HSET', keys[1], 'stalled', args[1], 'abandoned', args[2], 'retention', args[3])
  return 1
end

