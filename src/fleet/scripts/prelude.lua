-- One shard of the bus. Every script of the protocol begins with this; each runs as one atomic step of the server.
--
-- KEYS: log      stream; ids epoch-n with n consecutive from 0; fields: begin, reports, joined, ready, resumed,
--                left, lost
--       epoch    the current epoch, milliseconds when it began
--       members  sorted set: member -> end of its membership, milliseconds
--       applied  sorted set: member -> number in this epoch up to which it has applied the log
--       lost     sorted set: member -> when its membership ended unheard, or when it joined, until it says that it knows
--       general  hash: run (run_id of the server's process), since (first join of that run), clock, settings
--       words    sorted set, all scores 0: member, a blank, what it says of itself
local LOG, EPOCH, MEMBERS, APPLIED, LOST, GENERAL = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local WORDS = KEYS[7]
local RUN, REPLAY = ARGV[1], ARGV[2]

local function whole(number)
    return string.format('%.0f', number)
end

-- Milliseconds; never less than at an earlier call, whatever the clock does.
local function time()
    local now = redis.call('TIME')
    local ms = now[1] * 1000 + math.floor(now[2] / 1000)
    local clock = tonumber(redis.call('HGET', GENERAL, 'clock') or '0')
    ms = math.max(ms, clock)
    redis.call('HSET', GENERAL, 'clock', whole(ms))
    return ms
end

-- A new log. Its members have applied nothing of it.
local function begin_epoch()
    local former = tonumber(redis.call('GET', EPOCH)) or 0
    local epoch = whole(math.max(time(), former + 1))
    redis.call('DEL', LOG, APPLIED)
    redis.call('SET', EPOCH, epoch)
    redis.call('XADD', LOG, epoch .. '-0', 'begin', '1')
    for _, member in ipairs(redis.call('ZRANGE', MEMBERS, 0, -1)) do
        redis.call('ZADD', APPLIED, 0, member)
    end
    return epoch
end

local function last_id()
    local last = redis.pcall('XREVRANGE', LOG, '+', '-', 'COUNT', 1)
    return not last.err and last[1] and last[1][1]
end

-- A log that was evicted or deleted would begin again behind its readers, so it is looked for each time. One that ends in an
-- entry of anybody else is no log of ours.
local function current_epoch()
    local epoch, last = redis.call('GET', EPOCH), last_id()
    if not epoch or not last or string.match(last, '^(%d+)%-') ~= epoch then
        return begin_epoch()
    end
    return epoch
end

local function append(field, value)
    local added = redis.pcall('XADD', LOG, 'MAXLEN', '~', REPLAY, current_epoch() .. '-*', field, value)
    if type(added) == 'table' and added.err and (string.find(added.err, 'XADD') or string.find(added.err, 'exhausted') or string.find(added.err, 'too large')) then
        -- Its numbers are used up.
        added = redis.pcall('XADD', LOG, begin_epoch() .. '-*', field, value)
    end
    return added
end

local function last_position()
    current_epoch()
    return last_id()
end

local function node_of(member)
    return string.match(member, '^(.*)%.')
end

-- Removes every member whose time is over, and says so in the log. One whose node has joined again has not vanished.
local function reap(now)
    local over = redis.call('ZRANGEBYSCORE', MEMBERS, '-inf', whole(now))
    for _, member in ipairs(over) do
        redis.call('ZREM', MEMBERS, member)
        redis.call('ZREM', APPLIED, member)
    end
    local present = {}
    for _, member in ipairs(redis.call('ZRANGE', MEMBERS, 0, -1)) do
        present[node_of(member)] = true
    end
    for _, member in ipairs(over) do
        if present[node_of(member)] then
            append('left', member)
        else
            append('lost', member)
            redis.call('ZADD', LOST, whole(now), member)
        end
    end
end

-- Members come and go together with what they have applied. Where they do not, somebody has removed one of the two keys, and nobody
-- knows who was a member: then the run is as new as after a restart.
local function is_other_run()
    if redis.call('ZCARD', MEMBERS) ~= redis.call('ZCARD', APPLIED) then
        redis.call('HDEL', GENERAL, 'run')
        redis.call('DEL', MEMBERS, APPLIED)
    end
    return redis.call('HGET', GENERAL, 'run') ~= RUN
end

local OTHER_RUN = redis.error_reply('OTHERRUN the log is of another run of the server')
