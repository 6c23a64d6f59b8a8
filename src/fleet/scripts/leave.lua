-- ARGV: run, replay, member.
if is_other_run() then
    return OTHER_RUN
end
if redis.call('ZREM', MEMBERS, ARGV[3]) == 1 then
    redis.call('ZREM', APPLIED, ARGV[3])
    append('left', ARGV[3])
end
return redis.status_reply('OK')
