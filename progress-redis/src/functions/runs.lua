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
        open_again(prefix, task, run_of(base, generation, owner), generation, node, was[4])
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
        open_again(prefix, task, run_of(base, generation, owner), generation, node, was[4])
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
      + call('HLEN', before .. ':v') - 1
    -- Half of what it was would not be what it was.
    if is_whole(before) and held > 0 then
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
    -- Without what an owner may have written that was here before its claim.
    open_run(run_of(base, proposed, owner), proposed)
    call('SADD', prefix .. ':i:own:' .. node, task)
  end
  return { 'ok', text(proposed) }
end

-- An owner's end. KEYS base; ARGV prefix, task, generation, seq, record, retention. Answers -1 if a
-- part of the run was evicted, which is to be told again before it ends.
local function finish(keys, args)
  local base, prefix, task = keys[1], args[1], args[2]
  local generation, seq, record = tonumber(args[3]), args[4], args[5]
  local was = call('HMGET', base .. ':m', 'g', 'o', 'e')
  local owner = was[2]
  if tonumber(was[1] or nil) ~= generation or owner == 'b' or was[3] then
    return 0
  end
  local run = run_of(base, generation, owner)
  if not is_whole(run) then
    return -1
  end
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

