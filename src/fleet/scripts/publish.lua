-- ARGV: run, replay, reports. Returns the position.
if is_other_run() then
    return OTHER_RUN
end
return append('reports', ARGV[3])
