-- What workers in other languages say. It is checked and put into the form of an event, which is to
-- be read by every node, out of the texts of its members: nothing is decoded and encoded again.

local PAYLOAD, NAME, STAGES = 65536, 128, 1024
local MESSAGE = (PAYLOAD - 448) / 4
-- Percent of what has not completed: of the whole, of a stage.
local BELOW_DONE, STAGE_BELOW_DONE = 99.9, 99.99
local OVER = 'ALREADY_COMPLETE the task has ended'

-- Errors of an event are texts that begin with their name, and no place in this file.
local function refuse(field, limit)
  error('INVALID_EVENT ' .. field .. ': ' .. limit, 0)
end

local function of_kind(kind, said)
  return function(field, json, found)
    if found ~= kind then
      refuse(field, said)
    end
    return json
  end
end

local function text_to(limit)
  return function(field, json, kind)
    if kind ~= 'string' or #json - 2 > limit then
      refuse(field, 'a text of at most ' .. limit .. ' bytes')
    end
    return json
  end
end

local function count_to(limit)
  return function(field, json)
    if not string.find(json, '^%d+$') or tonumber(json) > limit then
      refuse(field, 'a whole number from 0 to ' .. text(limit))
    end
    return json
  end
end

local function word_of(words)
  return function(field, json, kind)
    local word = kind == 'string' and words[string.lower(plain(json))]
    if not word then
      refuse(field, 'none of its words')
    end
    return '"' .. word .. '"'
  end
end

local function path(field, json, kind)
  local name = kind == 'string' and plain(json)
  if not name or name == '' or #name > NAME or string.find(name, '[%z\1-\31\127]')
    or string.find(name, '\194[\128-\159]') or string.find('/' .. name .. '/', '//', 1, true)
    or select(2, string.gsub(name, '/', '')) > 7 then
    refuse(field, 'a path of at most ' .. NAME .. ' bytes and 8 segments')
  end
  return json
end

local function truth(field, json, kind)
  if kind ~= 'true' and kind ~= 'false' then
    refuse(field, 'true or false')
  end
  return json
end

local function texts(field, json, kind)
  if kind ~= 'list' then
    refuse(field, 'a list of texts')
  end
  walk(json, 1, 1, function(_, _, item)
    if item ~= 'string' then
      refuse(field, 'a list of texts')
    end
  end)
  return json
end

local function as_it_is(_, json)
  return json
end

local number, object = of_kind('number', 'a number'), of_kind('object', 'an object')
local count, message, name_of = count_to(EXACT), text_to(MESSAGE), text_to(NAME)

-- The fields that may be said, and how they are read; all others are left out, as are those that
-- only the server knows.
local OF_ERRORS = {
  code = name_of, message = message, is_retryable = truth, stage = path,
  retry_count = count_to(4294967295), max_retries = count_to(4294967295), retry_after_ms = count,
  details = object, solutions = texts, trace_id = name_of,
}
local OF_NOTES = { reason = message }
local FIELDS = {
  progress_update = {
    stage = path, progress = number, stage_progress = number, current = count, total = count,
    unit = name_of, message = message, metadata = object, eta_ms = count, stage_eta_ms = count,
  },
  stage_change = { current_stage = path },
  log = {
    message = text_to(PAYLOAD / 2), stage = path, fields = object,
    level = word_of({
      trace = 'TRACE', debug = 'DEBUG', info = 'INFO', warn = 'WARN', warning = 'WARN',
      error = 'ERROR', critical = 'ERROR', fatal = 'ERROR',
    }),
  },
  error = OF_ERRORS, paused = OF_NOTES, resumed = OF_NOTES,
  complete = {
    result = as_it_is, error = object, cause = message,
    status = word_of({
      completed = 'completed', failed = 'failed', cancelled = 'cancelled', canceled = 'cancelled',
      abandoned = 'abandoned',
    }),
  },
}
local NEEDED = {
  stage_change = { 'current_stage' }, log = { 'message' }, error = { 'code', 'message' },
  complete = { 'status' },
}
-- What only the server says, and the names of control frames.
local RESERVED = {
  queued = true, started = true, stalled = true, recovered = true, cancel_requested = true,
  connected = true, subscribed = true, heartbeat = true, gap = true, reset = true, rejected = true,
  draining = true, pong = true,
}

-- The members of an object by name, read; and as they are, if they are of no known type.
local function members(of, json)
  local said, fields = {}, FIELDS[of]
  local object, why = read_object(json, fields and function(name, value, kind)
    local read = fields[name]
    if read and said[name] then
      refuse(name, 'once')
    elseif read and kind ~= 'null' then
      said[name] = read(name, value, kind)
    end
  end)
  if not object then
    refuse('data', why)
  end
  for _, name in ipairs(NEEDED[of] or {}) do
    if not said[name] then
      refuse(name, 'needed')
    end
  end
  return said, object
end

-- Members as an object, in an order that does not change.
local function object_of(said)
  local names = {}
  for name in pairs(said) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    names[i] = '"' .. name .. '":' .. said[name]
  end
  return '{' .. table.concat(names, ',') .. '}'
end

-- Reads an event: its members, its text if it is of the application's own, its key.
local function read_event(event_type, data, key)
  if #data > PAYLOAD then
    error('PAYLOAD_TOO_LARGE data: ' .. PAYLOAD .. ' bytes', 0)
  elseif RESERVED[event_type] then
    error('RESERVED_EVENT_TYPE ' .. event_type .. ' is said by the server', 0)
  elseif not string.find(event_type, '^%l[%l%d_.]*$') or #event_type > 64 then
    refuse('event_type', '[a-z][a-z0-9_.]{0,63}')
  end
  key = key ~= '' and key or nil
  if key and FIELDS[event_type] then
    refuse('key', 'of custom events only')
  elseif key and (#key > NAME or not is_utf8(key)) then
    refuse('key', 'UTF-8 of at most ' .. NAME .. ' bytes')
  end
  local said, object = members(event_type, data)
  if said.error then
    said.error = object_of((members('error', said.error)))
  end
  if event_type == 'progress_update' then
    if not said.stage and (said.stage_progress or said.stage_eta_ms) then
      refuse('stage', 'needed')
    elseif not next(said) or (said.stage and next(said, next(said)) == nil) then
      refuse('data', 'something that changes')
    end
  end
  return said, object, key
end

-- Two decimals, as all percents have.
local function percent(value, most)
  value = math.floor(value * 100 + 0.5) / 100
  return string.format('%.14g', math.max(0, math.min(most, value)))
end

local function counted(said)
  if not said.total then
    return nil
  end
  local total = tonumber(said.total)
  if total == 0 then
    return 100
  end
  return said.current and math.min(100, tonumber(said.current) / total * 100)
end

-- RFC 3339.
local function stamp(ms)
  local day, rest = math.floor(ms / 86400000) + 719468, ms % 86400000
  local era = math.floor(day / 146097)
  day = day - era * 146097
  local year = math.floor(
    (day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  day = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  -- Years begin in March here.
  local month = math.floor((5 * day + 2) / 153)
  day = day - math.floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day,
    math.floor(rest / 3600000), math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60,
    rest % 1000)
end

-- The task as it is, as far as publish has to know it.
local function present_of(meta)
  local was = call('HMGET', meta, 'g', 'o', 'e', 'q', 'h', 't', 'T', 'B', 'A', 'P', 'R', 'S')
  return {
    generation = was[1], owner = was[2], ended = was[3], asked = was[4], head = was[5] or '0',
    stalled = was[6], told = tonumber(was[7] or 0), began = tonumber(was[8] or nil),
    about = was[9] and was[9] ~= '' and was[9] or '{"name":null,"kind":null}',
    percent = tonumber(was[10] or 0), reported = was[11], stage = was[12],
  }
end

-- Adds to what was said what only the server knows; answers what is to be kept of it.
local function fill(event_type, said, task, elapsed)
  if event_type == 'progress_update' then
    local reported = said.progress or task.reported
    local shown = tonumber(said.progress) or (not reported and not said.stage and counted(said)) or 0
    said.progress = percent(math.max(task.percent, math.min(shown, BELOW_DONE)), 100)
    local part = tonumber(said.stage_progress) or (said.stage and counted(said))
    said.stage_progress = part and percent(part, part >= 100 and 100 or STAGE_BELOW_DONE) or nil
    said.reported, said.elapsed_ms = reported and 'true' or nil, elapsed
    return 'P' .. said.progress .. (reported and '\nR1' or '')
  elseif event_type == 'stage_change' then
    said.previous_stage = task.stage and cjson.encode(task.stage) or nil
    said.progress, said.elapsed_ms = percent(task.percent, 100), elapsed
    return 'S' .. plain(said.current_stage)
  elseif event_type == 'log' then
    said.level = said.level or '"INFO"'
  elseif event_type == 'complete' then
    said.progress = said.status == '"completed"' and '100' or percent(task.percent, 100)
    said.duration_ms = elapsed
  end
  return ''
end

local CLASSES = { log = 'L', complete = 'T', progress_update = 'S' }
local OF_STAGES = { progress_update = 'stage', stage_change = 'current_stage' }

-- KEYS base; ARGV producer, n, event type, data, key. Answers the position, and '1' if somebody has
-- asked for cancellation. Its name is what workers call, in all versions.
local function publish(keys, args)
  local base = keys[1] or ''
  local prefix, id = string.match(base, '^([^{}]+):t:{([%w._:-]+)}$')
  if not id or #id > NAME then
    return redis.error_reply('INVALID_TASK_ID <prefix>:t:{1 to 128 of A-Z a-z 0-9 . _ : -}')
  end
  local producer, n, event_type = args[1] or '', args[2] or '', args[3] or ''
  local meta, producers, stages = base .. ':m', base .. ':w', base .. ':n'
  local task = present_of(meta)
  if task.generation and task.owner ~= 'b' then
    return redis.error_reply(task.ended and OVER or 'TASK_OWNED its owner numbers its events')
  elseif #producer < 1 or #producer > NAME then
    return redis.error_reply('INVALID_EVENT producer: 1 to ' .. NAME .. ' bytes')
  elseif not string.find(n, '^%d+$') or #n > 16 or tonumber(n) > EXACT then
    return redis.error_reply('INVALID_EVENT n: a whole number below 2^53')
  end
  local function answer(seq)
    local position = string.format('%x', tonumber(task.generation)) .. ':' .. seq
    return { position, task.asked and '1' or '0' }
  end
  local before = task.generation and call('HGET', producers, producer)
  if before then
    local last, seq = string.match(before, '^(%d+) (%d+)$')
    if tonumber(n) <= tonumber(last) then
      return answer(seq)
    end
  end
  if task.ended then
    return redis.error_reply(OVER)
  end
  local read, said, object, key = pcall(read_event, event_type, args[4] or '', args[5])
  if not read then
    return string.find(said, '^%u') and redis.error_reply(said) or error(said)
  end
  local stage = OF_STAGES[event_type] and said[OF_STAGES[event_type]]
  local name = stage and plain(stage)
  local is_begun = not stage or (task.generation and call('HEXISTS', stages, name) == 1)
  if not is_begun and task.generation and call('HLEN', stages) >= STAGES then
    return redis.error_reply('INVALID_EVENT stage: at most ' .. STAGES)
  end
  local class, state = CLASSES[event_type] or 'M', ''
  if event_type == 'progress_update' then
    state = event_type .. (name and ' ' .. name or '')
  elseif key then
    class, state = 'S', event_type .. ' ' .. key
  end
  -- Before what the event implies is told, for a refusal changes nothing.
  if state ~= '' and task.generation
    and is_full(run_of(base, tonumber(task.generation), 'b'), state) then
    return redis.error_reply('INVALID_EVENT key: at most ' .. KEYS_OF_STATE)
  end

  local now = math.floor(now_us() / 1000)
  local times = call('HMGET', prefix .. ':i:times', 'stalled', 'abandoned', 'retention')
  local is_new = not task.generation
  if is_new then
    -- Of a run that is not known any more, if the memory was short.
    call('DEL', producers, base .. ':wq', stages)
    task.generation = claim(keys, { prefix, 'shared', id, text(now), '', '',
      times[1] or STALLED, times[2] or ABANDONED, '0' })[2]
  end
  now = math.max(now, task.told)
  local hex, time = string.format('%x', tonumber(task.generation)), '"' .. stamp(now) .. '"'
  local drafts = { prefix, 't', id, times[3] or RETENTION }
  local function draft(event_type, data, class, state, draft_id, told)
    local at = #drafts
    drafts[at + 1], drafts[at + 2], drafts[at + 3], drafts[at + 4] = class, state, draft_id, 's'
    drafts[at + 5], drafts[at + 6], drafts[at + 7], drafts[at + 8] = '', '0', '0', ''
    drafts[at + 9] = 'e{"event_type":"' .. event_type .. '"'
      .. (key and state ~= '' and ',"key":' .. cjson.encode(key) or '')
      .. ',"timestamp":' .. time .. ',"data":' .. data .. '}'
    drafts[at + 10] = 'T' .. text(now) .. '\n' .. told
  end
  -- What the event implies, under the ids that nodes give it.
  if task.stalled and event_type ~= 'complete' then
    draft('recovered', '{}', 'M', '', hex .. ' recovered ' .. task.head, '')
  end
  if not task.began and (is_new or event_type ~= 'complete') then
    task.began = now
    draft('started', string.sub(task.about, 1, -2) .. ',"started_at":' .. time .. '}', 'M', '',
      hex .. ' started', 'B' .. text(now) .. '\nA')
  end
  local elapsed = text(math.max(0, now - (task.began or now)))
  if not is_begun and event_type ~= 'stage_change' then
    local change = { current_stage = stage }
    local told = fill('stage_change', change, task, elapsed)
    draft('stage_change', object_of(change), 'M', '', hex .. ' stage_change ' .. name, told)
  end
  local told = fill(event_type, said, task, elapsed)
  draft(event_type, FIELDS[event_type] and object_of(said) or object, class, state, '', told)

  local numbered = submit(keys, drafts)
  local seq = numbered[#numbered]
  -- Some node copies it into the channels of the task, which may be elsewhere.
  call('ZADD', prefix .. ':i:untold', 'NX', task.head, task.generation .. ' ' .. id)
  remember(producers, base .. ':wq', producer, n .. ' ' .. seq)
  if class == 'T' then
    local at = call('PEXPIRETIME', meta)
    call('PEXPIREAT', producers, at)
    call('PEXPIREAT', base .. ':wq', at)
  end
  return answer(seq)
end

