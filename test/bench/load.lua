-- Requests for wrk, made before it begins; what it measured as one line at the end.
--
--   wrk ... -s load.lua URL -- FILE HEADER...
--
-- A line of FILE is one request: method, path, body, and headers of its own, by tabs
-- ("NAME: VALUE"); the body may be empty.  HEADERs go with all of them.

local requests, at = {}, 0

function init(args)
  local common = {}
  for i = 2, #args do
    local name, value = args[i]:match("^([^:]+): (.*)$")
    common[name] = value
  end
  for line in io.lines(args[1]) do
    local fields = {}
    for field in (line .. "\t"):gmatch("([^\t]*)\t") do
      fields[#fields + 1] = field
    end
    local headers = {}
    for name, value in pairs(common) do
      headers[name] = value
    end
    for i = 4, #fields do
      local name, value = fields[i]:match("^([^:]+): (.*)$")
      headers[name] = value
    end
    requests[#requests + 1] = wrk.format(fields[1], fields[2], headers, fields[3] ~= "" and fields[3] or nil)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

-- requests, seconds, median and 95th percentile in microseconds, answers of 400 and more, other errors
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("measured\t%d\t%.6f\t%d\t%d\t%d\t%d\n", summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(95), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
