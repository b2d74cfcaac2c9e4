-- JSON, read strictly: what is accepted here every node can read. (cjson takes hexadecimal numbers,
-- control characters and text that is no UTF-8 as well, and says nothing of names that come twice.)

local DEPTH, LARGEST, EXACT = 100, 1e308, 9007199254740991
-- The forms of a character that is not ASCII.
local UTF8 = {
  '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]', '[\225-\236\238\239][\128-\191][\128-\191]',
  '\237[\128-\159][\128-\191]', '\240[\144-\191][\128-\191][\128-\191]',
  '[\241-\243][\128-\191][\128-\191][\128-\191]', '\244[\128-\143][\128-\191][\128-\191]',
}

local function is_utf8(bytes)
  if not string.find(bytes, '[\128-\255]') then
    return true
  end
  for _, form in ipairs(UTF8) do
    -- In the place of each stands something, so that what is around it does not come together.
    bytes = string.gsub(bytes, form, '?')
  end
  return not string.find(bytes, '[\128-\255]')
end

local function behind_space(json, at)
  return string.match(json, '^[ \t\r\n]*()', at)
end

local function behind_string(json, at)
  at = at + 1
  while true do
    at = string.match(json, '^[^%z\1-\31"\\]*()', at)
    local byte = string.byte(json, at)
    if byte == 34 then
      return at + 1
    elseif byte ~= 92 then
      return nil
    end
    local unit = string.match(json, '^u(%x%x%x%x)', at + 1)
    if unit then
      unit, at = tonumber(unit, 16), at + 6
      if unit >= 0xD800 and unit <= 0xDFFF then
        -- A pair, the higher one first.
        if unit >= 0xDC00 or not string.find(json, '^\\u[dD][c-fC-F]%x%x', at) then
          return nil
        end
        at = at + 6
      end
    elseif string.find(json, '^["\\/bfnrt]', at + 1) then
      at = at + 2
    else
      return nil
    end
  end
end

local function behind_number(json, at)
  local to = string.match(json, '^%-?%d+()', at)
  if not to or string.find(json, '^%-?0%d', at) then
    return nil
  end
  to = string.match(json, '^%.%d+()', to) or to
  to = string.match(json, '^[eE][+-]?%d+()', to) or to
  return math.abs(tonumber(string.sub(json, at, to - 1))) <= LARGEST and to or nil
end

-- The text that a string stands for.
local function plain(json)
  if not string.find(json, '\\', 1, true) then
    return string.sub(json, 2, -2)
  end
  return cjson.decode('[' .. json .. ']')[1]
end

local behind_value

-- What is behind an object or a list, whose members or items are handed to `each`, if there is one:
-- name, text, kind. Nothing and a reason if it is none.
local function walk(json, at, depth, each)
  if depth > DEPTH then
    return nil, DEPTH .. ' levels'
  end
  local is_object = string.byte(json, at) == 123
  local closing = is_object and 125 or 93
  at = behind_space(json, at + 1)
  if string.byte(json, at) == closing then
    return at + 1
  end
  while true do
    local name
    if is_object then
      local to = string.byte(json, at) == 34 and behind_string(json, at)
      if not to then
        return nil
      end
      name = plain(string.sub(json, at, to - 1))
      at = behind_space(json, to)
      -- Names of the reader's own.
      if string.byte(json, at) ~= 58 or string.find(name, '^$serde_json') then
        return nil
      end
      at = behind_space(json, at + 1)
    end
    local to, kind = behind_value(json, at, depth)
    if not to then
      return nil, kind
    end
    if each then
      each(name, string.sub(json, at, to - 1), kind)
    end
    at = behind_space(json, to)
    local byte = string.byte(json, at)
    if byte == closing then
      return at + 1
    elseif byte ~= 44 then
      return nil
    end
    at = behind_space(json, at + 1)
  end
end

function behind_value(json, at, depth)
  local byte = string.byte(json, at)
  if byte == 34 then
    local to = behind_string(json, at)
    return to, to and 'string'
  elseif byte == 123 or byte == 91 then
    local to, why = walk(json, at, depth + 1)
    return to, to and (byte == 123 and 'object' or 'list') or why
  end
  for _, word in ipairs({ 'true', 'false', 'null' }) do
    if string.sub(json, at, at + #word - 1) == word then
      return at + #word, word
    end
  end
  local to = behind_number(json, at)
  return to, to and 'number'
end

-- Reads an object: its text without what is around it; hands on its members. Else nothing and why.
local function read_object(json, each)
  if not is_utf8(json) then
    return nil, 'UTF-8'
  end
  local from = behind_space(json, 1)
  if string.byte(json, from) ~= 123 then
    return nil, 'a JSON object'
  end
  local to, why = walk(json, from, 1, each)
  if not to or behind_space(json, to) ~= #json + 1 then
    return nil, why or 'a JSON object'
  end
  return string.sub(json, from, to - 1)
end

