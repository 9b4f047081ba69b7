-- Sends one request over and over: the file named by the argument holds its target, then its header lines.
-- Prints what was counted as one line of JSON.

function init(args)
    local file = assert(io.open(args[1]))
    wrk.path = file:read("l")
    for line in file:lines() do
        local name, value = line:match("^([^:]+): (.*)$")
        wrk.headers[name] = value
    end
    file:close()
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %.6f, "failed": %d}\n',
        summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
