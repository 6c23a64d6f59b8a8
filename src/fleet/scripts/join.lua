-- ARGV: run, replay, member, membership in milliseconds, settings, pending reports, how long losses are remembered, epoch and number
-- up to which it has applied the log ('' if it forgets what it has read before), 1 if it may be the first of a new run.
-- Returns: 'welcome', end of the log, time, since, members, losses with their times; or 'settings' and those of the fleet.
local member, length, settings, pending = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local now, may_found = time(), ARGV[10] == '1'
if is_other_run() then
    if not may_found then
        return { 'settings', '' }
    end
    redis.call('DEL', MEMBERS, LOST)
    begin_epoch()
    redis.call('HSET', GENERAL, 'run', RUN, 'since', whole(now), 'settings', settings)
else
    current_epoch()
    reap(now)
    local common = redis.call('HGET', GENERAL, 'settings')
    if common ~= settings then
        if redis.call('ZCARD', MEMBERS) > 0 then
            return { 'settings', common or '' }
        elseif not may_found then
            return { 'settings', '' }
        end
        redis.call('HSET', GENERAL, 'settings', settings)
    end
end
if pending ~= '' then
    append('reports', pending)
end
local others = redis.call('ZRANGE', MEMBERS, 0, -1)
-- A node that joins has ended every former life of its own.
for _, lost in ipairs(redis.call('ZRANGE', LOST, 0, -1)) do
    if node_of(lost) == node_of(member) then
        redis.call('ZREM', LOST, lost)
    end
end
redis.call('ZREMRANGEBYSCORE', LOST, '-inf', '(' .. whole(now - tonumber(ARGV[7])))
local position = append('joined', member)
redis.call('ZADD', MEMBERS, whole(now + length), member)
local epoch, number = string.match(position, '^(%d+)%-(%d+)$')
if ARGV[8] == epoch then
    number = ARGV[9]
end
redis.call('ZADD', APPLIED, number, member)
local losses = redis.call('ZRANGE', LOST, 0, -1, 'WITHSCORES')
return { 'welcome', position, whole(now), redis.call('HGET', GENERAL, 'since'), others, losses }
