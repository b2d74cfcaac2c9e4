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

-- What was evicted of the indices is made anew. KEYS lease; ARGV prefix, node, then of each run that
-- it has claimed: task, generation. Answers of each 'k' (kept), 'o' (over) or 'e' (evicted).
local function keep(keys, args)
  local prefix, node = args[1], args[2]
  local answers = {}
  for i = 3, #args, 2 do
    local base = base_of(prefix, args[i])
    local was = call('HMGET', base .. ':m', 'g', 'o', 'e', 'n')
    local answer = 'k'
    if was[1] and (was[1] ~= args[i + 1] or was[2] ~= 'n' .. node or was[3]) then
      answer = 'o'
    elseif not was[1] or not is_whole(run_of(base, tonumber(was[1]), was[2])) then
      answer = 'e'
    else
      list_again(prefix, args[i], node, was[4])
    end
    answers[#answers + 1] = answer
  end
  return answers
end

-- Looks through the list, some tasks at a time: an index may have been evicted that said who is dead.
-- How long the lease was is not known; after the longest there can be the node counts as dead.
local function walk(prefix, now)
  local key = prefix .. ':i:walk'
  local from = call('GET', key) or '-inf'
  local some = call('ZRANGEBYSCORE', prefix .. ':i:list', '(' .. from, '+inf', 'WITHSCORES',
    'LIMIT', 0, WALKED)
  for i = 1, #some, 2 do
    local was = call('HMGET', base_of(prefix, some[i]) .. ':m', 'g', 'o', 'e', 'n')
    if not was[1] then
      -- Who tells it again lists it again.
      call('ZREM', prefix .. ':i:list', some[i])
    elseif was[2] ~= 'b' and not was[3] then
      local node = string.sub(was[2], 2)
      if not call('ZSCORE', prefix .. ':i:lease', node) then
        call('ZADD', prefix .. ':i:lease', text(now + LONGEST_LEASE), node)
      end
      list_again(prefix, some[i], node, was[4])
    elseif not was[3] and not call('ZSCORE', prefix .. ':i:silent', some[i]) then
      call('ZADD', prefix .. ':i:silent', text(now), some[i])
    end
  end
  call('SET', key, some[#some] or '-inf')
end

-- KEYS lease; ARGV prefix, limit. Answers task, generation and cause in turn.
local function expired(keys, args)
  local prefix, limit = args[1], tonumber(args[2])
  local now = math.floor(now_us() / 1000)
  walk(prefix, now)
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

-- Who takes what others publish. KEYS its lease; ARGV holder, milliseconds: none gives it up.
local function ingest(keys, args)
  local holder = call('GET', keys[1])
  if holder and holder ~= args[1] then
    return 0
  elseif args[2] == '0' then
    return call('DEL', keys[1])
  end
  call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

