-- ARGV: run, replay, member, time of the last answer, membership in milliseconds, epoch and number applied.
-- Returns: end of the log, time, whether it is a member, the number that all others have applied ('' if there are none).
-- The order is the protocol: a node that renews a lease has heard of every loss before.
if is_other_run() then
    return OTHER_RUN
end
local member, last_time, length = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local now = time()
local epoch = current_epoch()
reap(now)
local until_ms = redis.call('ZSCORE', MEMBERS, member)
if until_ms then
    -- Counted from the last answer that has arrived: a question that was stuck on its way for a minute extends nothing.
    local extended = last_time + length
    if extended > tonumber(until_ms) then
        redis.call('ZADD', MEMBERS, whole(extended), member)
    end
    if ARGV[6] == epoch then
        redis.call('ZADD', APPLIED, ARGV[7], member)
    end
end
local others = ''
local lowest = redis.call('ZRANGE', APPLIED, 0, 1, 'WITHSCORES')
for i = 1, #lowest, 2 do
    if lowest[i] ~= member and others == '' then
        others = lowest[i + 1]
    end
end
return { last_position(), whole(now), until_ms and 1 or 0, others }
