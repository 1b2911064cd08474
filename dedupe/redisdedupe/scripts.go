package redisdedupe

import "github.com/redis/go-redis/v9"

// Each method of a store is one script, and so one atomic step. Every script reads and writes one key, so it runs on any
// kind of cluster, also while slots are being moved. A key's value is its record:
//
//	TOKEN DEADLINE NONCE   claimed; free from the deadline on
//	TOKEN                  released, so free
//	-TOKEN                 completed; an integer, which Redis keeps without allocating a string
//
// Tokens and deadlines are the server's time in microseconds since 1970. As numbers in Lua they are exact up to the year 2255.
//
// Redis forgets completed records when the TTL has passed. It keeps the others that long, too, although they are free,
// for the next claim's token to be greater than theirs even if the server's clock has been set back by as much meanwhile.
//
// The nonce tells the claim of one call from all others. The client library repeats a command whose answer was lost with its
// connection; a repeated claim then finds itself, and is answered like the first time.
//
// A full Redis refuses a script's writes, but "only if this is the first write" of the script, for a script could not be stopped
// half-way; and setting an expiry is a write that it never refuses. So when the record is there already, and no more room
// is needed, the expiry is set first. Otherwise a full Redis would keep holders from completing what they have handled.
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

// An outcome is the first of the two numbers that a script returns. The second is 0 unless said otherwise.
type outcome int64

const (
	done      outcome = iota + 1 // 1; claim adds the token
	inFlight                     // 2, only from claim, which adds what remains of the lease, in microseconds
	completed                    // 3, only from claim
	lost                         // 4
	full                         // 5
)

// scripts is read-only. Run asks for a script by its hash, and sends its text to a server that does not know it: one
// that was restarted, or has just become the master.
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
