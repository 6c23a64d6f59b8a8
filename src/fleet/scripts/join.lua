-- ARGV: run, replay, member, membership in milliseconds, settings, how long losses are remembered, epoch and number up to which it
-- has applied the log ('' if it forgets what it has read before), 1 if it may be the first of a new run.
-- Returns: 'welcome', end of the log, time, since, members, losses with their times; or 'settings' and those of the fleet.
local member, length, settings = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local now, may_found = time(), ARGV[9] == '1'
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
local others = redis.call('ZRANGE', MEMBERS, 0, -1)
redis.call('ZREMRANGEBYSCORE', LOST, '-inf', '(' .. whole(now - tonumber(ARGV[6])))
local losses = redis.call('ZRANGE', LOST, 0, -1, 'WITHSCORES')
-- Nobody has heard from it yet: perhaps this question comes late, and the node does not know that it is a member.
redis.call('ZADD', LOST, whole(now), member)
local position = append('joined', member)
redis.call('ZADD', MEMBERS, whole(now + length), member)
local epoch, number = string.match(position, '^(%d+)%-(%d+)$')
if ARGV[7] == epoch then
    number = ARGV[8]
end
redis.call('ZADD', APPLIED, number, member)
return { 'welcome', position, whole(now), redis.call('HGET', GENERAL, 'since'), others, losses }
