package redisdedupe

import (
	"context"

	"github.com/redis/go-redis/v9"
)

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
//
// Each script answers with one integer, which costs the client less than a
// list. The server runs a script on its only thread, so what most calls need
// comes first: a claim of a new delivery, and the holder's own completion.
const begin = `
local key, now = KEYS[1], redis.call('TIME')
now = now[1] * 1000000 + now[2]
local record = redis.call('GET', key)
`

// parse is for a record that may be any of the three, or none.
const parse = `
local sign, token, deadline, nonce = '', '0', nil, nil
if record then
	sign, token = string.match(record, '^(%-?)(%d+)$')
	if not token then token, deadline, nonce = string.match(record, '^(%d+) (%d+) (%w+)$') end
	if not token then return redis.error_reply('ERR the key holds something else than a record of redisdedupe') end
end
local completed = sign == '-'
local claimed = deadline and now < tonumber(deadline)
`

// put writes a record, and returns an answer only if it fails.
const put = `
local function put(value, ms)
	local reply = redis.pcall('SET', key, value, 'PX', ms)
	if record and reply.err and string.find(reply.err, '^%-?OOM') then
		redis.call('PEXPIRE', key, ms)
		reply = redis.pcall('SET', key, value, 'PX', ms)
	end
	return reply.err and reply
end
`

// The answers of scripts. No script answers with 0.
//
// Claim answers with the token of a new claim, which is greater than completed.
// If another caller holds the delivery, it answers with the rest of the lease
// in microseconds, negated.
const (
	completed = 1 // claim found a handled delivery
	done      = 1 // of the other three
	lost      = 2
)

// scripts must not be modified.
var scripts = struct{ claim, renew, complete, release *script }{
	// Arguments: nonce, lease in microseconds, expiry in milliseconds.
	claim: newScript(begin + `
if not record then
	local reply = redis.pcall('SET', key, string.format('%.0f %.0f %s', now, now + ARGV[2], ARGV[1]), 'PX', ARGV[3])
	return reply.err and reply or now
end
` + parse + put + `
if completed then return 1 end
local own = claimed and nonce == ARGV[1]
if claimed and not own then return now - deadline end
token = tonumber(token)
if not own then token = math.max(now, token + 1) end
return put(string.format('%.0f %.0f %s', token, now + ARGV[2], ARGV[1]), ARGV[3]) or token
`),
	// Arguments: token, lease in microseconds, expiry in milliseconds.
	renew: newScript(begin + parse + put + `
if not claimed or token ~= ARGV[1] then return 2 end
return put(string.format('%s %.0f %s', token, now + ARGV[2], nonce), ARGV[3]) or 1
`),
	// Arguments: token, TTL in milliseconds.
	complete: newScript(`
local key = KEYS[1]
local record = redis.call('GET', key)
` + put + `
if record and string.find(record, '^' .. ARGV[1] .. ' %d+ %w+$') then return put('-' .. ARGV[1], ARGV[2]) or 1 end
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
` + parse + `
if (completed or claimed) and token ~= ARGV[1] then return 2 end
if completed then return 1 end
return put('-' .. ARGV[1], ARGV[2]) or 1
`),
	// Arguments: token, TTL in milliseconds.
	release: newScript(begin + parse + put + `
if completed or claimed and token ~= ARGV[1] then return 2 end
if not claimed then return 1 end
return put(token, ARGV[2]) or 1
`),
}

// script is a Lua script. The server knows it by its hash, unless it has been
// restarted or has failed over since it got the text.
type script struct{ hash, text any }

func newScript(text string) *script {
	return &script{hash: redis.NewScript(text).Hash(), text: text}
}

// run sends the script's hash, and the text to a server that does not know it.
// A redis.Script would read the answer into a list of any first.
func (s *script) run(ctx context.Context, client redis.UniversalClient, key string, args ...any) (int64, error) {
	n, err := evaluate(ctx, client, "evalsha", s.hash, key, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		return evaluate(ctx, client, "eval", s.text, key, args)
	}
	return n, err
}

const firstKey = 3 // after the command, the script and the number of keys

func evaluate(ctx context.Context, client redis.UniversalClient, command string, script any, key string, args []any) (int64, error) {
	cmd := redis.NewIntCmd(ctx, append([]any{command, script, 1, key}, args...)...)
	cmd.SetFirstKeyPos(firstKey)
	_ = client.Process(ctx, cmd) // the command has the error
	return cmd.Result()
}
