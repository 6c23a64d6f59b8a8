-- ARGV: run, replay, member, pending reports, 1 if the node was in this log before it joined.
-- Returns the position, or '' if the membership is over.
if is_other_run() then
    return OTHER_RUN
end
local member, pending = ARGV[3], ARGV[4]
current_epoch()
reap(time())
if not redis.call('ZSCORE', MEMBERS, member) then
    return ''
end
if pending ~= '' then
    append('reports', pending)
end
-- A member that knows of its membership has ended every former life of its node.
for _, lost in ipairs(redis.call('ZRANGE', LOST, 0, -1)) do
    if node_of(lost) == node_of(member) then
        redis.call('ZREM', LOST, lost)
    end
end
return append(ARGV[5] == '1' and 'resumed' or 'ready', member)
