-- ARGV: run, replay, member, what it says of itself.
-- Returns what the present members say, each behind its member and a blank. It changes nothing of the protocol's own.
if is_other_run() then
    return OTHER_RUN
end
local member, now = ARGV[3], time()
local mine = member .. ' ' .. ARGV[4]
if redis.call('ZSCORE', MEMBERS, member) then
    redis.call('ZADD', WORDS, 0, mine)
end
local said = {}
for _, line in ipairs(redis.call('ZRANGE', WORDS, 0, -1)) do
    local of = string.match(line, '^(%S+) ')
    local until_ms = of and redis.call('ZSCORE', MEMBERS, of)
    if not until_ms or of == member and line ~= mine then
        redis.call('ZREM', WORDS, line)
    elseif tonumber(until_ms) > now then
        said[#said + 1] = line
    end
end
return said
