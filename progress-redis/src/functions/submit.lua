-- A channel is there as soon as it is asked for. KEYS base; ARGV prefix.
local function open(keys, args)
  local meta = keys[1] .. ':m'
  if call('EXISTS', meta) == 0 then
    call('HSET', meta, 'g', text(rising(args[1], now_us())), 'o', 'b')
  end
  return 1
end

local function remember(hash, queue, field, value)
  if call('HSET', hash, field, value) == 1 then
    call('RPUSH', queue, field)
    if call('LLEN', queue) > RECENT then
      call('HDEL', hash, call('LPOP', queue))
    end
  end
end

-- Takes note of fields of :m, one a line, each behind its letter; 's' and 'S' are stages, which are
-- known from then on, as are those above them.
local function keep(base, kept, told)
  for letter, value in string.gmatch(told, '(%a)([^\n]*)') do
    if letter ~= 's' then
      kept[letter] = value
    end
    if letter == 's' or letter == 'S' then
      while value do
        call('HSET', base .. ':n', value, '')
        value = string.match(value, '^(.*)/')
      end
    end
  end
end

-- KEYS base; ARGV prefix, kind of topic ('t' or 'c'), task, retention, then of each draft: class,
-- key, id, sign of life ('s', 'q' for a stall, 'n' for none), the task that it is a copy of, that
-- one's generation and seq, the key that it retires, body, what it says that others have to know who
-- publish without having read it. Answers the generation and of each draft its seq, or 'e' (has
-- ended) or 'k' (too many keys).
local function submit(keys, args)
  local base, prefix, task = keys[1], args[1], args[3]
  local meta = base .. ':m'
  if args[2] == 'c' then
    open(keys, args)
  end
  local was = call('HMGET', meta, 'g', 'o', 'e', 'h', 'p', 'L')
  local generation, ended = was[1], was[3]
  if not generation then
    return { 'unknown' }
  elseif was[2] ~= 'b' then
    return { 'owned' }
  end
  local head, prev, lines = tonumber(was[4] or 0), tonumber(was[5] or 0), tonumber(was[6] or 0)
  local run = run_of(base, tonumber(generation), 'b')
  local answers, published, kept = { 'ok', generation }, {}, {}
  local life, last = 'n', nil
  for i = 5, #args, 10 do
    local class, key, id, sign, of = args[i], args[i + 1], args[i + 2], args[i + 3], args[i + 4]
    local answer = id ~= '' and call('HGET', base .. ':i', id)
    local reached, copied
    if not answer and of ~= '' then
      reached = { tonumber(args[i + 5]), tonumber(args[i + 6]) }
      copied = call('HGET', base .. ':c', of)
      if copied then
        local g, s, at = string.match(copied, '^(%d+) (%d+) (%d+)$')
        g, s = tonumber(g), tonumber(s)
        copied = g > reached[1] or (g == reached[1] and s > reached[2])
        -- Something later of its task was here before it.
        answer = copied and class == 'S' and at
      end
    end
    if not answer and ended then
      answer = 'e'
    elseif not answer and class == 'S' and is_full(run, key) then
      answer = 'k'
    elseif not answer then
      head = head + 1
      answer = text(head)
      local number = generation .. '-' .. answer
      if class == 'L' then
        lines = lines + 1
      end
      local record = number .. ' ' .. text(prev) .. ' ' .. text(lines) .. ' ' .. args[i + 8]
      if class == 'S' then
        call('HSET', run .. ':v', key, record)
      elseif class == 'L' then
        call('XADD', run .. ':l', 'MAXLEN', '~', LINES, number, 'r', record)
      else
        call('XADD', run .. ':s', 'MAXLEN', '~', MILESTONES, number, 'r', record)
        prev = head
      end
      keep(base, kept, args[i + 9])
      if args[i + 7] ~= '' then
        call('HDEL', run .. ':v', args[i + 7])
      end
      if class == 'T' then
        ended, last = answer, answer
      end
      if id ~= '' then
        remember(base .. ':i', base .. ':iq', id, answer)
      end
      if of ~= '' and not copied then
        remember(base .. ':c', base .. ':cq', of,
          text(reached[1]) .. ' ' .. text(reached[2]) .. ' ' .. answer)
      end
      if sign ~= 'n' then
        life = sign
      end
      -- A stall after a sign of life in the same call leaves that one's time.
      published[#published + 1] = record
      if args[2] == 't' and sign == 's' then
        call('HSET', meta, 'a', text(math.floor(now_us() / 1000)))
      end
    end
    answers[#answers + 1] = answer
  end
  if #published > 0 then
    kept.h, kept.p, kept.L = text(head), text(prev), text(lines)
    local fields = {}
    for field, value in pairs(kept) do
      fields[#fields + 1], fields[#fields + 2] = field, value
    end
    call('HSET', meta, unpack(fields))
    if last then
      close(base, run, prefix, task, 'b', last, math.floor(now_us() / 1000), tonumber(args[4]))
    elseif args[2] == 't' and life ~= 'n' then
      local times = call('HMGET', meta, 'a', 'w', 'x')
      local wait = tonumber(times[3])
      if life == 's' then
        call('HDEL', meta, 't')
        wait = math.min(wait, tonumber(times[2]))
      else
        call('HSET', meta, 't', '1')
      end
      call('ZADD', prefix .. ':i:silent', text(tonumber(times[1]) + wait), task)
    end
    for _, record in ipairs(published) do
      call('PUBLISH', base, 'r' .. record)
    end
  end
  return answers
end

