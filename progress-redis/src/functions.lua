#!lua name=progress_1

-- What has to be decided where the tasks are kept: who gets a run, what number comes next, who is
-- dead. Owners' events come as plain commands and not through here.
--
-- Keys of a topic, all under KEYS[1], its base, which holds the hash tag:
--   :m              what only these functions write, see below
--   :<run>:s        milestones and the end: a stream with ids <generation>-<seq>
--   :<run>:l        log lines: a stream as well
--   :<run>:v        the newest State of each key: a hash
--   :es :el :ev     what was kept of the run that this one is the end of
--   :i :iq          ids of drafts and where they went; their order
--   :c :cq          how far tasks have been copied here; their order
-- <run> is 'o<generation>' if its owner numbers it and 'b<generation>' if the broker does: whoever is
-- not, or no longer, the one to number a run finds no stream of it.
--
-- Fields of :m: g generation, o 'n<node>' or 'b', n place in the list, c channels, e seq of the end,
-- E the run that it ends, q request, h head, p newest milestone, L lines (these three of what is
-- numbered here), a last sign of life, w silence until stalled, x until abandoned, t stalled was told.
--
-- Indices, under <prefix>:i: lease (node -> its end), own:<node> (tasks), ask:<node> (task ->
-- request), silent (task -> when to look), list (task -> place), ended (task -> when forgotten),
-- gone (task -> run), goneq (task -> when removed), last (last generation of a channel and place).

local MILESTONES, LINES, KEYS_OF_STATE, RECENT = 1024, 200, 4096, 1024
local FIRST_LEASE, FENCE = 30000, 86400000
local LAST = '18446744073709551615'

-- Not known yet while the library is loaded.
local function call(...)
  return redis.call(...)
end

local function text(number)
  return string.format('%.0f', number)
end

local function now_us()
  local time = call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function run_of(base, generation, owner)
  return base .. ':' .. (owner == 'b' and 'b' or 'o') .. text(generation)
end

local function base_of(prefix, task)
  return prefix .. ':t:{' .. task .. '}'
end

-- A number above all that were given before, also those of a memory that was lost.
local function rising(prefix, us)
  local key = prefix .. ':i:last'
  local number = math.max(us, (tonumber(call('GET', key)) or 0) + 1)
  call('SET', key, text(number))
  return number
end

local function kept_keys(base, run)
  return { base .. ':m', run .. ':s', run .. ':l', run .. ':v', base .. ':es', base .. ':el',
    base .. ':ev', base .. ':i', base .. ':iq', base .. ':c', base .. ':cq' }
end

-- Ended tasks whose time is over leave the indices, a few at a time.
local function sweep(prefix, now)
  local ended = prefix .. ':i:ended'
  local over = call('ZRANGEBYSCORE', ended, '-inf', text(now), 'LIMIT', 0, 32)
  for _, task in ipairs(over) do
    if call('EXISTS', base_of(prefix, task) .. ':m') == 0 then
      call('ZREM', prefix .. ':i:list', task)
    end
    call('ZREM', ended, task)
  end
end

local function leave(prefix, task, owner)
  if owner == 'b' then
    call('ZREM', prefix .. ':i:silent', task)
  else
    local node = string.sub(owner, 2)
    call('SREM', prefix .. ':i:own:' .. node, task)
    call('HDEL', prefix .. ':i:ask:' .. node, task)
  end
end

local function lease_is_over(prefix, owner, now)
  local lease = call('ZSCORE', prefix .. ':i:lease', string.sub(owner, 2))
  return not lease or tonumber(lease) <= now
end

-- Streams that are there without an entry: an owner's XADD NOMKSTREAM wants them.
local function open_streams(run, generation)
  for _, stream in ipairs({ run .. ':s', run .. ':l' }) do
    if call('EXISTS', stream) == 0 then
      local mark = text(generation) .. '-0'
      call('XADD', stream, mark, 'r', '')
      call('XDEL', stream, mark)
    end
  end
end

-- A fenced owner's HSET must not make the hash again: a key of another type is in its place.
local function fence(run)
  call('DEL', run .. ':s', run .. ':l', run .. ':v')
  call('SET', run .. ':v', '', 'PX', FENCE)
end

local function move(from, to)
  call('DEL', to)
  if call('EXISTS', from) == 1 then
    call('RENAME', from, to)
  end
end

local function close(base, run, prefix, task, owner, seq, now, retention)
  call('HSET', base .. ':m', 'e', seq)
  call('HDEL', base .. ':m', 'q')
  local at = text(now + retention)
  for _, key in ipairs(kept_keys(base, run)) do
    call('PEXPIREAT', key, at)
  end
  call('ZADD', prefix .. ':i:ended', at, task)
  leave(prefix, task, owner)
end

-- KEYS base; ARGV prefix, why, task, proposed, node, channels, then of a shared claim: silence,
-- abandoned after, '1' if it may follow an end; of an end: the run.
local function claim(keys, args)
  local base, prefix, why, task = keys[1], args[1], args[2], args[3]
  local proposed, node, channels = tonumber(args[4]), args[5], args[6]
  local us = now_us()
  local now = math.floor(us / 1000)
  local meta = base .. ':m'
  sweep(prefix, now)
  if why ~= 'shared' and lease_is_over(prefix, 'n' .. node, now) then
    call('ZADD', prefix .. ':i:lease', text(now + FIRST_LEASE), node)
  end
  local gone = tonumber(call('HGET', prefix .. ':i:gone', task) or nil)
  local starts = why == 'start' or why == 'restart'
  if starts and gone and proposed <= gone then
    return { 'removed', text(gone) }
  end
  local was = call('HMGET', meta, 'g', 'o', 'e', 'n', 'E', 'c')
  local generation, owner, ended = tonumber(was[1] or nil), was[2], was[3]
  local of = why == 'end' and tonumber(args[7])
  if generation then
    if starts and generation == proposed and owner == 'n' .. node then
      if not ended then
        -- They may have been evicted.
        open_streams(run_of(base, generation, owner), generation)
      end
      return { 'ok', text(generation) }
    elseif why == 'start' or (why == 'restart' and not ended) then
      return { 'exists', text(generation) }
    elseif why == 'restart' and proposed <= generation then
      return { 'superseded', text(generation) }
    elseif why == 'shared' and not ended then
      return { owner == 'b' and 'ok' or 'exists', text(generation) }
    elseif why == 'shared' and args[9] ~= '1' then
      return { 'exists', text(generation) }
    elseif why == 'end' then
      if owner == 'n' .. node and not ended and tonumber(was[5] or nil) == of then
        open_streams(run_of(base, generation, owner), generation)
        return { 'ok', text(generation) }
      elseif generation ~= of or ended then
        return { 'superseded', text(generation) }
      elseif owner == 'b' or not lease_is_over(prefix, owner, now) then
        return { 'exists', text(generation) }
      end
    end
  elseif why == 'end' then
    return { 'superseded', text(of) }
  end

  local place
  if why == 'end' then
    place, channels = was[4], was[6]
    local before = run_of(base, generation, owner)
    local held = call('XLEN', before .. ':s') + call('XLEN', before .. ':l')
    if held > 0 or call('EXISTS', before .. ':v') == 1 then
      move(before .. ':s', base .. ':es')
      move(before .. ':l', base .. ':el')
      move(before .. ':v', base .. ':ev')
    end
    -- Else it was to end one itself, and that one stands.
    fence(before)
    leave(prefix, task, owner)
    proposed = math.max(proposed, of + 1)
  else
    place = text(rising(prefix, us))
    if generation then
      call('DEL', unpack(kept_keys(base, run_of(base, generation, owner))))
      call('ZREM', prefix .. ':i:ended', task)
    end
    if why == 'shared' then
      proposed = math.max(proposed, math.max(generation or 0, gone or 0) + 1)
    end
  end
  owner = why == 'shared' and 'b' or 'n' .. node
  call('DEL', meta)
  call('HSET', meta, 'g', text(proposed), 'o', owner, 'n', place, 'c', channels)
  call('ZADD', prefix .. ':i:list', place, task)
  if why == 'shared' then
    call('HSET', meta, 'a', text(now), 'w', args[7], 'x', args[8])
    local look = now + math.min(tonumber(args[7]), tonumber(args[8]))
    call('ZADD', prefix .. ':i:silent', text(look), task)
  else
    if why == 'end' then
      call('HSET', meta, 'E', text(of))
    end
    local run = run_of(base, proposed, owner)
    -- What an owner may have written that was here before its claim.
    call('DEL', run .. ':v')
    open_streams(run, proposed)
    call('SADD', prefix .. ':i:own:' .. node, task)
  end
  return { 'ok', text(proposed) }
end

-- An owner's end. KEYS base; ARGV prefix, task, generation, seq, record, retention.
local function finish(keys, args)
  local base, prefix, task = keys[1], args[1], args[2]
  local generation, seq, record = tonumber(args[3]), args[4], args[5]
  local was = call('HMGET', base .. ':m', 'g', 'o', 'e')
  local owner = was[2]
  if tonumber(was[1] or nil) ~= generation or owner == 'b' or was[3] then
    return 0
  end
  local run = run_of(base, generation, owner)
  local id = text(generation) .. '-' .. seq
  local added = redis.pcall('XADD', run .. ':s', 'MAXLEN', '~', MILESTONES, id, 'r', record)
  if type(added) == 'table' and added.err then
    return added
  end
  -- Nothing can follow.
  for _, stream in ipairs({ run .. ':s', run .. ':l' }) do
    if call('EXISTS', stream) == 1 then
      call('XSETID', stream, text(generation) .. '-' .. LAST)
    end
  end
  close(base, run, prefix, task, owner, seq, math.floor(now_us() / 1000), tonumber(args[6]))
  call('PUBLISH', base, 'r' .. record)
  return 1
end

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

-- KEYS base; ARGV prefix, kind of topic ('t' or 'c'), task, retention, then of each draft: class,
-- key, id, sign of life ('s', 'q' for a stall, 'n' for none), the task that it is a copy of, that
-- one's generation and seq, the key that it retires, body. Answers the generation and of each draft
-- its seq, or 'e' (has ended) or 'k' (too many keys).
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
  local answers, published = { 'ok', generation }, {}
  local life, last = 'n', nil
  for i = 5, #args, 9 do
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
    elseif not answer and class == 'S' and call('HEXISTS', run .. ':v', key) == 0
      and call('HLEN', run .. ':v') >= KEYS_OF_STATE then
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
    call('HSET', meta, 'h', text(head), 'p', text(prev), 'L', text(lines))
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

-- KEYS base; ARGV prefix, task, request.
local function request(keys, args)
  local was = call('HMGET', keys[1] .. ':m', 'g', 'o', 'e')
  if not was[1] then
    return 'unknown'
  elseif was[3] then
    return 'ended'
  end
  call('HSET', keys[1] .. ':m', 'q', args[3])
  if was[2] ~= 'b' then
    local node = string.sub(was[2], 2)
    call('HSET', args[1] .. ':i:ask:' .. node, args[2], args[3])
    call('PUBLISH', args[1] .. ':n:' .. node, 'q' .. args[2] .. ' ' .. args[3])
  end
  return 'ok'
end

-- KEYS lease; ARGV prefix, node, milliseconds. Answers tasks and requests in turn.
local function renew(keys, args)
  local now = math.floor(now_us() / 1000)
  call('ZADD', keys[1], text(now + tonumber(args[3])), args[2])
  sweep(args[1], now)
  local asked = {}
  -- In one list, also where a map would be answered as a map.
  local pairs_ = call('HGETALL', args[1] .. ':i:ask:' .. args[2])
  for _, word in ipairs(pairs_.map or pairs_) do
    asked[#asked + 1] = word
  end
  return asked
end

-- KEYS lease; ARGV prefix, limit. Answers task, generation and cause in turn.
local function expired(keys, args)
  local prefix, limit = args[1], tonumber(args[2])
  local now = math.floor(now_us() / 1000)
  local found = {}
  local function full()
    return #found >= 3 * limit
  end
  local function tell(task, generation, cause)
    local at = #found
    found[at + 1], found[at + 2], found[at + 3] = task, generation, cause
  end
  for _, node in ipairs(call('ZRANGEBYSCORE', keys[1], '-inf', text(now))) do
    local own = prefix .. ':i:own:' .. node
    -- Not all of a large node's at once: what is ended leaves, and the rest is found the next time.
    local some = full() and {} or call('SRANDMEMBER', own, text(limit))
    for _, task in ipairs(some) do
      local was = call('HMGET', base_of(prefix, task) .. ':m', 'g', 'o', 'e')
      if not was[1] or was[2] ~= 'n' .. node or was[3] then
        call('SREM', own, task)
      elseif not full() then
        tell(task, was[1], 'l')
      end
    end
    if call('EXISTS', own) == 0 then
      call('ZREM', keys[1], node)
      call('DEL', prefix .. ':i:ask:' .. node)
    end
  end
  local silent = prefix .. ':i:silent'
  local due = full() and {}
    or call('ZRANGEBYSCORE', silent, '-inf', text(now), 'LIMIT', 0, text(limit))
  for _, task in ipairs(due) do
    local was = call('HMGET', base_of(prefix, task) .. ':m', 'g', 'o', 'e', 'a', 'w', 'x', 't')
    if not was[1] or was[2] ~= 'b' or was[3] then
      call('ZREM', silent, task)
    elseif not full() then
      local silence = now - tonumber(was[4])
      if silence >= tonumber(was[6]) then
        tell(task, was[1], 's')
      elseif silence >= tonumber(was[5]) and not was[7] then
        tell(task, was[1], 'q')
      else
        call('ZADD', silent, text(tonumber(was[4]) + tonumber(was[6])), task)
      end
    end
  end
  return found
end

-- KEYS base; ARGV prefix, kind of topic, task.
local function remove(keys, args)
  local base, prefix, task = keys[1], args[1], args[3]
  local was = call('HMGET', base .. ':m', 'g', 'o', 'E', 'e')
  local generation, owner = tonumber(was[1] or nil), was[2]
  if not generation then
    return 0
  end
  local run = run_of(base, generation, owner)
  call('DEL', unpack(kept_keys(base, run)))
  if args[2] == 'c' then
    return 1
  end
  if owner ~= 'b' and not was[4] then
    fence(run)
  end
  leave(prefix, task, owner)
  call('ZREM', prefix .. ':i:list', task)
  call('ZREM', prefix .. ':i:ended', task)
  local last = text(math.max(generation, tonumber(was[3] or 0)))
  local queue = prefix .. ':i:goneq'
  call('HSET', prefix .. ':i:gone', task, last)
  call('ZADD', queue, text(now_us()), task)
  if call('ZCARD', queue) > RECENT then
    call('HDEL', prefix .. ':i:gone', call('ZPOPMIN', queue)[1])
  end
  call('PUBLISH', base, 'x' .. last)
  if owner ~= 'b' then
    call('PUBLISH', prefix .. ':n:' .. string.sub(owner, 2), 'x' .. last .. ' ' .. task)
  end
  return 1
end


redis.register_function('progress_1_claim', claim)
redis.register_function('progress_1_finish', finish)
redis.register_function('progress_1_open', open)
redis.register_function('progress_1_submit', submit)
redis.register_function('progress_1_request', request)
redis.register_function('progress_1_renew', renew)
redis.register_function('progress_1_expired', expired)
redis.register_function('progress_1_remove', remove)
redis.register_function{
  function_name = 'progress_1_read', callback = read, flags = { 'no-writes' },
}
