package redisdedupe

import "github.com/redis/go-redis/v9"

// Each method of a store is one script and so one atomic step. Every script
// reads and writes only one key. It therefore runs on any kind of cluster, even
// while slots are being moved. A key's value is its record:
//
//	TOKEN DEADLINE NONCE   claimed; free from the deadline on
//	TOKEN                  released, so free
//	-TOKEN                 completed; an integer, which Redis keeps without
//	                       allocating a string
//
// Tokens and deadlines are the server's time in microseconds since 1970. Lua
// numbers are exact for them up to the year 2255.
//
// Redis forgets completed records after the TTL. It also keeps free records
// that long, so that the token of the next claim is greater than theirs even if
// the server's clock was set back meanwhile.
//
// The nonce identifies the claim of one call. The client library repeats a
// command if the connection is lost before the answer arrives. A repeated claim
// then finds its own nonce and gets the same answer.
//
// A full Redis refuses a script's writes, but only if the first write of the
// script fails, because it cannot stop a script halfway. It never refuses to
// set an expiry. If the record exists and needs no more room, the script
// therefore sets the expiry first. Otherwise a full Redis would keep holders
// from completing handled deliveries.
const prelude = `
local key, now = KEYS[1], redis.call('TIME')
now = now[1] * 1000000 + now[2]
local record = redis.call('GET', key)
local sign, token, deadline, nonce = '', '0', nil, nil
if record then
	sign, token = string.match(record, '^(%-?)(%d+)$')
	if not token then token, deadline, nonce = string.match(record, '^(%d+) (%d+) (%w+)$') end
	if not token then return redis.error_reply('ERR the key holds something else than a record of redisdedupe') end
end
local completed = sign == '-'
local claimed = deadline and now < tonumber(deadline)

local function put(value, ms)
	local reply = redis.pcall('SET', key, value, 'PX', ms)
	if reply.err and string.find(reply.err, '^%-?OOM') then
		if not record then return {5, 0} end
		redis.call('PEXPIRE', key, ms)
		reply = redis.pcall('SET', key, value, 'PX', ms)
	end
	return reply.err and reply
end
`

// An outcome is the first of the two numbers that a script returns. The second
// is 0 unless stated otherwise.
type outcome int64

const (
	done outcome = iota + 1 // 1; claim also returns the token
	// 2, only from claim, which also returns the rest of the lease in
	// microseconds
	inFlight
	completed // 3, only from claim
	lost      // 4
	full      // 5
)

// scripts must not be modified. Run sends the hash of a script. It sends the
// text to a server that does not know the script, for example after a restart
// or a failover.
var scripts = struct{ claim, renew, complete, release *redis.Script }{
	// Arguments: nonce, lease in microseconds, expiry in milliseconds.
	claim: redis.NewScript(prelude + `
if completed then return {3, 0} end
local own = claimed and nonce == ARGV[1]
if claimed and not own then return {2, deadline - now} end
token = tonumber(token)
if not own then token = math.max(now, token + 1) end
return put(string.format('%.0f %.0f %s', token, now + ARGV[2], ARGV[1]), ARGV[3]) or {1, token}
`),
	// Arguments: token, lease in microseconds, expiry in milliseconds.
	renew: redis.NewScript(prelude + `
if not claimed or token ~= ARGV[1] then return {4, 0} end
return put(string.format('%s %.0f %s', token, now + ARGV[2], nonce), ARGV[3]) or {1, 0}
`),
	// Arguments: token, TTL in milliseconds.
	complete: redis.NewScript(prelude + `
if (completed or claimed) and token ~= ARGV[1] then return {4, 0} end
if completed then return {1, 0} end
return put('-' .. ARGV[1], ARGV[2]) or {1, 0}
`),
	// Arguments: token, TTL in milliseconds.
	release: redis.NewScript(prelude + `
if completed or claimed and token ~= ARGV[1] then return {4, 0} end
if not claimed then return {1, 0} end
return put(token, ARGV[2]) or {1, 0}
`),
}
