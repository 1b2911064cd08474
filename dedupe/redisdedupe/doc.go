// Package redisdedupe implements a dedupe.Store in Redis for package
// receiver. All instances of a service can share it.
//
//	client := redis.NewClient(&redis.Options{
//		Addr: "redis.internal:6379", ContextTimeoutEnabled: true,
//	})
//	store, err := redisdedupe.New(client)
//	if err != nil {
//		return err
//	}
//	if err := store.Ready(ctx); err != nil {
//		return err // no connection, unsafe eviction, or missing rights
//	}
//	// scheme comes from package signer.
//	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/deploy", rcv.Events(onEvent))
//
// The client comes from github.com/redis/go-redis/v9. For a Cluster, create the
// store the same way:
//
//	store, err := redisdedupe.New(redis.NewClusterClient(&redis.ClusterOptions{
//		Addrs:                 []string{"node-1:6379", "node-2:6379"},
//		ContextTimeoutEnabled: true,
//	}))
//
// For Sentinel:
//
//	client := redis.NewFailoverClient(&redis.FailoverOptions{
//		MasterName:            "dedupe",
//		SentinelAddrs:         []string{"sentinel-1:26379", "sentinel-2:26379"},
//		ContextTimeoutEnabled: true,
//	})
//
// # How it works
//
// Each delivery has one key. The value is a record of less than 50 bytes while
// the delivery is claimed, and an integer after completion. A remembered
// delivery takes 170 bytes of memory on Redis 7.0, mostly for its name, its
// expiry and its table entries.
//
// Each call is one Lua script on one key, so it is atomic and takes one round
// trip. This needs Redis 5 or later, or Valkey. The store sends the scripts
// with EVALSHA, and with EVAL if the server does not know them yet. It does not
// use FUNCTIONs. They need Redis 7, an administrator who loads them on every
// master, and one library version for all instances, without any benefit here.
//
// The user needs EVALSHA, EVAL, GET, SET, PEXPIRE and TIME on keys that begin
// with the prefix, and INFO for [Store.Ready]:
//
//	ACL SETUSER deploys on >password ~deployhook:dedupe:* +evalsha +eval +get
//	    +set +pexpire +time +info +cluster|slots +cluster|shards +command
//	    +hello +client +ping
//
// Tokens are the server's time in microseconds, but always greater than the
// last token in the key's record. Redis keeps a record until the TTL has passed
// since the last claim, even if the claim was released or its lease ended. A
// failed delivery without a retry therefore takes as much memory as a completed
// one.
//
// The client library repeats a command, up to MaxRetries times, if the
// connection is lost before the answer arrives. The store then recognizes its
// own claim, so a claim is neither lost nor granted twice. A repeated release
// returns [dedupe.ErrLeaseLost] if another caller has claimed the delivery
// meanwhile.
//
// # Security
//
//   - Missing and unexpected answers are errors. An error never grants the
//     right to handle a delivery. The receiver answers 503 and the sender
//     retries.
//   - If Redis is full, Claim fails with [dedupe.ErrFull]. Redis still
//     recognizes all stored keys, and their holders can still renew, complete
//     and release. [Store.Ready] detects a server that would evict keys
//     instead.
//   - Calls end at their context's deadline, even if the server hangs. New
//     refuses clients that ignore the deadline.
//   - Keys are digests, so a reader of the database learns no IDs, tenants or
//     sources. Anyone who can write to it can forge and erase records, so do
//     not share the prefix with other users.
//   - Errors name servers by host and port and never contain credentials.
//
// # What a failure can lose
//
// A confirmed claim or completion is as durable as the configuration of Redis
// makes it. A lost completion means that the delivery may be handled again, and
// that it may be replayed while its timestamp is within the receiver's
// tolerance. No delivery is skipped.
//
//	Configuration                  What is lost
//	no persistence                 everything at each restart
//	appendonly yes, appendfsync    nothing if the process is killed; the last
//	everysec                       second if the machine stops, or two seconds
//	                               with a slow disk
//	appendonly yes, appendfsync    nothing
//	always
//	snapshots (save) only          everything since the last snapshot
//
// A failover, with Sentinel, Cluster or a managed service, loses the writes
// that the new master had not received. Replication is asynchronous and usually
// lags by milliseconds. A master that is cut off from the others accepts writes
// until it notices, and all of these are lost. In a Cluster it notices within
// cluster-node-timeout, 15 seconds by default. Otherwise there is no limit,
// unless the master refuses writes without a replica.
//
// A test measures this with Sentinel and one replica. It kills the master while
// four workers claim and complete deliveries. The replica got nothing for a
// while before that:
//
//	Replication  Master                       Lost
//	works        default settings             nothing
//	stopped for  default settings             everything since replication stopped
//	6 seconds    min-replicas-to-write 1,     everything of the first 3 seconds;
//	             min-replicas-max-lag 1       then the master refused writes
//	             WAIT 1 after each call       nothing; calls failed while
//	                                          replication was stopped
//
// Set min-replicas-to-write and min-replicas-max-lag, and have one replica more
// than that, because the master also refuses writes if a replica fails. A
// refused call is an error, so the receiver answers 503 and the sender retries.
//
// The store does not call WAIT. It has to use the connection of the call, which
// a pool does not guarantee. It also leaves a claim behind, which blocks the
// delivery until its lease ends.
//
// Fencing also protects against lost claims, because a later token is greater.
// This requires that the new master's clock is not behind the time of the lost
// claim.
//
// A failover may also change the clock to that of another machine:
//
//   - A clock that moves forward ends leases and TTLs earlier by the same
//     amount. Choose a TTL that exceeds twice the tolerance by more than any
//     expected step. The default does.
//   - A clock that moves back extends leases and TTLs by the same amount, so a
//     delivery whose handler crashed waits longer. Tokens still increase. The
//     exceptions are a step of more than the TTL, and a lost claim that is more
//     recent than the step is long.
//
// # Common mistakes
//
//   - Do not use an eviction policy other than noeviction on a server that is
//     shared with a cache. Call Ready.
//   - Do not use FLUSHDB, and do not delete keys with the prefix to free
//     memory. It makes replays of all completed deliveries possible.
//   - Do not use a Ring, see [InsecureRing].
//   - Stores of one service need the same prefix, because each remembers only
//     deliveries under its own. They also need the same TTL. Otherwise each
//     delivery is remembered for the TTL of the instance that completed it.
//   - MaxRetries and DialTimeout together should not exceed the receiver's
//     store timeout. Otherwise calls to an unavailable server end only with
//     that timeout, which is safe but slow.
package redisdedupe
