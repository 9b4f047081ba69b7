-- Sends one request over and over: the file named by the first argument holds its target, then its header lines. With
-- a second argument N above 0 every Nth request asks for its connection to be closed. Prints what was counted as one
-- line of JSON.

function init(args)
    local file = assert(io.open(args[1]))
    wrk.path = file:read("l")
    for line in file:lines() do
        local name, value = line:match("^([^:]+): (.*)$")
        wrk.headers[name] = value
    end
    file:close()
    local every, sent = tonumber(args[2]), 0
    if every > 0 then
        local kept = wrk.format()
        wrk.headers["Connection"] = "close"
        local last = wrk.format()
        function request()
            sent = sent + 1
            return sent % every == 0 and last or kept
        end
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %.6f, "failed": %d}\n',
        summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
