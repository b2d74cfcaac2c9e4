#!lua name=progress_1

-- What has to be decided where the tasks are kept: who gets a run, what number comes next, who is
-- dead. Owners' events come as plain commands and not through here.
--
-- Keys of a topic, all under KEYS[1], its base, which holds the hash tag:
--   :m              what only these functions write, see below
--   :<run>:s        milestones and the end: a stream with ids <generation>-<seq>
--   :<run>:l        log lines: a stream as well
--   :<run>:v        the newest State of each key: a hash; of an owner's run with a field '' in it
--   :es :el :ev     what was kept of the run that this one is the end of
--   :i :iq          ids of drafts and where they went; their order
--   :c :cq          how far tasks have been copied here; their order
--   :w :wq          of each producer in another language the newest number and its seq; their order
--   :n              the stages that have begun: a hash without values
-- <run> is 'o<generation>' if its owner numbers it and 'b<generation>' if the broker does: whoever is
-- not, or no longer, the one to number a run finds no stream of it.
--
-- Fields of :m: g generation, o 'n<node>' or 'b', n place in the list, c channels, e seq of the end,
-- E the run that it ends, q request, h head, p newest milestone, L lines (these three of what is
-- numbered here), a last sign of life, w silence until stalled, x until abandoned, t stalled was told.
-- And of what was said, for publish: T when last, B when it began, A what 'started' is to say, P percent,
-- R if that was reported as such, S the current stage.
--
-- Indices, under <prefix>:i: lease (node -> its end), own:<node> (tasks), ask:<node> (task ->
-- request), silent (task -> when to look), list (task -> place), ended (task -> when forgotten),
-- gone (task -> run), goneq (task -> when removed), last (last generation of a channel and place), times
-- (how long things last, as the nodes say), untold (run and task -> seq after which channels have not
-- been told what publish has numbered), ingest:<channels> (who takes what others publish there),
-- walk (the place up to which the list was looked through).

local MILESTONES, LINES, KEYS_OF_STATE, RECENT = 1024, 200, 4096, 1024
local FIRST_LEASE, LONGEST_LEASE, FENCE, WALKED = 30000, 86400000, 86400000, 64
-- Of tasks that a worker in another language starts before any node has said how long these are.
local STALLED, ABANDONED, RETENTION = '600000', '3600000', '3600000'
local LAST = '18446744073709551615'

-- As redis.call, but an error names the command: of one that a user may not do Redis says that there is
-- one, and not which.
local function call(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    answer.err = answer.err .. ' (' .. (...) .. ')'
    error(answer)
  end
  return answer
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

-- Whether a run has no room for State of this key.
local function is_full(run, key)
  return call('HEXISTS', run .. ':v', key) == 0 and call('HLEN', run .. ':v') >= KEYS_OF_STATE
end

local function kept_keys(base, run)
  return { base .. ':m', run .. ':s', run .. ':l', run .. ':v', base .. ':es', base .. ':el',
    base .. ':ev', base .. ':i', base .. ':iq', base .. ':c', base .. ':cq', base .. ':w',
    base .. ':wq', base .. ':n' }
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

-- What is kept of an owner's run, with nothing in it: streams, which its XADD NOMKSTREAM wants, and a
-- hash with a mark. What of it is not there later was evicted.
local function open_run(run, generation)
  call('DEL', run .. ':s', run .. ':l', run .. ':v')
  for _, stream in ipairs({ run .. ':s', run .. ':l' }) do
    local mark = text(generation) .. '-0'
    call('XADD', stream, mark, 'r', '')
    call('XDEL', stream, mark)
  end
  call('HSET', run .. ':v', '', '')
end

local function is_whole(run)
  return call('EXISTS', run .. ':s', run .. ':l') == 2 and call('HEXISTS', run .. ':v', '') == 1
end

local function list_again(prefix, task, node, place)
  call('SADD', prefix .. ':i:own:' .. node, task)
  call('ZADD', prefix .. ':i:list', place, task)
end

-- A run that its owner claims once more. If a part of it was evicted nothing else of it is kept: the
-- owner tells all again, and a page would show the head of what is there beside what is not.
local function open_again(prefix, task, run, generation, node, place)
  if not is_whole(run) then
    open_run(run, generation)
  end
  list_again(prefix, task, node, place)
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

