// Package redisdedupe keeps the memory of deliveries in Redis, so that all instances of a service share it: a
// [dedupe.Store] for package receiver.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis.internal:6379", ContextTimeoutEnabled: true})
//	store, err := redisdedupe.New(client)
//	if err != nil {
//		return err
//	}
//	if err := store.Check(ctx); err != nil {
//		return err // no connection, an eviction policy that forgets, or scripts that are not permitted
//	}
//	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform")) // scheme from package signer
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/deploy", rcv.Events(onEvent))
//
// The client is one of github.com/redis/go-redis/v9. With a Cluster the store is made in the same way:
//
//	store, err := redisdedupe.New(redis.NewClusterClient(&redis.ClusterOptions{
//		Addrs: []string{"node-1:6379", "node-2:6379", "node-3:6379"}, ContextTimeoutEnabled: true,
//	}))
//
// or, behind Sentinel:
//
//	store, err := redisdedupe.New(redis.NewFailoverClient(&redis.FailoverOptions{
//		MasterName: "dedupe", SentinelAddrs: []string{"sentinel-1:26379", "sentinel-2:26379"}, ContextTimeoutEnabled: true,
//	}))
//
// # How it works
//
// Each delivery has one key, with a record of less than 50 bytes while it is claimed and an integer once it is completed: 170 bytes of
// the server's memory for each that is remembered, most of them its name, expiry and place in the tables of Redis 7.0. Each call
// is one Lua script on that one key, and so one atomic step and one round trip. That needs Redis 5 or later, or Valkey. The
// scripts are sent with EVALSHA, and with EVAL to a server that does not know them yet; FUNCTIONs need Redis 7, an
// administrator to load them on every master, and one version of the library for all instances, in return for nothing here.
// The user needs the commands EVALSHA, EVAL, GET, SET, PEXPIRE and TIME on keys that begin with the prefix, and INFO for
// [Store.Check]:
//
//	ACL SETUSER deploys on >password ~deployhook:dedupe:* +evalsha +eval +get +set +pexpire +time +info +cluster|slots +cluster|shards +command +hello +client +ping
//
// Tokens are the server's time in microseconds, but always greater than the last token in the key's record. A record stays
// until the TTL has passed since the last claim, also when that was released or its lease ended; so a delivery that failed and
// never came back takes as much memory as one that was handled.
//
// A command whose answer is lost with its connection is repeated by the client library, up to MaxRetries times. The
// store recognises its own claim when that happens, so it is neither lost nor granted twice.
//
// # Security
//
//   - Fails closed: an answer that does not come, or says anything unexpected, is an error, and with an error nobody has the right to
//     handle anything. A receiver answers 503, and the sender tries again.
//   - A full Redis refuses: Claim fails with [dedupe.ErrFull] while everything it holds is still recognised, and holders can still
//     renew, complete and release. [Store.Check] finds a server that would evict instead.
//   - Calls end at their context's deadline, also on a server that hangs; New refuses clients for which that does not hold.
//   - Keys are digests: whoever reads the database learns no IDs, tenants or sources. Whoever can write to it can forge and erase
//     what is remembered, so give the prefix to nobody else.
//   - Errors name servers by host and port, never with credentials.
//
// # What a failure can lose
//
// An acknowledged claim or completion is as durable as Redis has been set up to make it. What is forgotten may be
// handled again, and may be replayed while its timestamp is within the tolerance of the receiver; no delivery is missed.
//
//   - No persistence: a restart forgets everything.
//   - appendonly yes, appendfsync everysec: nothing when the process is killed; when the machine stops, the last second, or two
//     seconds when the disk is slow. With appendfsync always, nothing.
//   - Snapshots (save) only: everything since the last one.
//   - Failover, with Sentinel, Cluster or a managed service: replication does not wait, so what the new master had not received,
//     usually milliseconds. A master that is cut off from the others goes on accepting until it notices, and what it accepts is lost:
//     in a Cluster for up to cluster-node-timeout, 15 seconds by default, otherwise without bound, unless min-replicas-to-write 1
//     and min-replicas-max-lag bound it, which refuse writes instead. WAIT would not: it reports what has not been replicated,
//     but does not undo it.
//   - Lost claims are fenced like ended leases as long as the new master's clock is not behind the time of the lost claim: a later
//     token is the greater one.
//
// The server's clock, which a failover may change for another machine's: setting it forward ends leases and TTLs sooner by as
// much. Choose a TTL that is longer than twice the tolerance by more than any step that you expect, as the default is. Setting it
// back lets them last longer by as much, so a delivery whose handler crashed waits longer. Tokens rise in spite of it, unless it is
// set back by more than the TTL, or by more than has passed since a claim whose record was lost.
//
// # Misuses
//
//   - An eviction policy other than noeviction, on a server that is shared with a cache: call Check.
//   - FLUSHDB, or deleting keys with the prefix to make room: it opens the replay window for all that had been completed.
//   - A Ring: see [InsecureRing].
//   - Stores of one service with different prefixes: each remembers only its own deliveries. With different TTLs: each delivery
//     is remembered for the TTL of the instance that completed it.
//   - MaxRetries and DialTimeout that add up to more than the receiver's store timeout: calls to a server that is down then end
//     with the timeout instead of sooner. That is safe, but slow.
package redisdedupe
