// Package linearize checks that concurrent calls of the stores behave as if
// they were made one after the other, each at a moment between its beginning
// and its end. That property is called linearizability. The tests record
// histories of calls while clients and servers fail, and
// [github.com/anishathalye/porcupine] compares each history with a model.
//
//	go test ./internal/linearize                                        # a few histories, half a minute
//	go test ./internal/linearize -v -linear.histories=100 -timeout=90m  # the full set, with a table
//
// A refused history is printed. It is also written to a file, which shows in a
// browser how far the checker got.
//
// # What is tested
//
//	subject  calls                            model
//	claims   Claim, Renew, Complete, Release  claims_model_test.go
//	         of a dedupe.Store
//	ledger   Record, Get and List of a        ledger_test.go
//	         ledger of deployments
//	publish  Publish with an event ID, and    publish_test.go
//	         Deliveries of an outbox
//
// Each history has six clients, which make 25 random calls each about a few
// keys. On databases and Redis, they belong to two processes. The clients
// also make mistakes. For example, they complete claims that they have
// released.
//
//	fault                what happens
//	client frozen        SIGSTOP stops a process for up to 200 ms, three times
//	client killed        SIGKILL ends a process
//	connections cut      a proxy resets each connection during its next answer
//	backends terminated  pg_terminate_backend ends each connection
//	server frozen        SIGSTOP stops the server, and calls end at 250 ms
//	server killed        SIGKILL ends the server, which is started again
//	TTLs end             none, but completions are remembered for one second
//	failover             SIGKILL ends a Redis master, and its replica takes over
//	failover,            the same, after the replica got nothing for a while
//	  replication stopped
//
// # Calls without an answer
//
// A call whose answer was lost may have taken effect, and may still do so
// later. Its end is therefore open, and it is concurrent with all later calls.
// The model accepts any result for it. A call has no effect and is left out if
// it only reads, if the server has refused it, or if it found no connection.
// The clients of Redis never repeat a command. With repetitions, one call could
// take effect twice.
//
// # Time
//
// Leases and TTLs make the clock a part of the model. There are two ways to
// deal with it. If leases are much longer than a history, no lease ends, and
// the model needs no clock. It then never tests the end of a lease, which is
// where the errors are. The model of claims therefore uses the real times of
// the calls, and leases from 20 ms to a minute.
//
// All processes read the same monotonic clock. The model knows only that a call
// read the store's clock between its beginning and its end. From that it knows
// an interval in which a lease ends. A call that ends before this interval
// must find the key held. One that begins after it must find the key free.
// Otherwise both are possible, and each narrows the interval down for the other
// calls. So does a RetryAfter. The clocks may differ by 5 ms, because SQLite
// and Redis round to milliseconds.
//
// A call reads the clock before it takes effect. On PostgreSQL the effect waits
// for the disk, and other calls may read the clock meanwhile. The order of the
// effects therefore does not limit when the clock was read.
//
// # What is not linearizable
//
// These results are documented, and the tests accept them:
//
//   - PostgreSQL may answer a Claim of a free key with [dedupe.InFlight] while
//     another call about the key runs.
//   - A Redis server without persistence forgets everything when it is killed.
//   - A Redis replica that takes over lacks the latest writes. It has the
//     others, and tokens still increase.
//
// The table counts the histories that need the last two as linearizable up to
// the bound. TestFailoverLoss measures how much a failover loses.
//
// # The checker itself
//
// TestChecker puts mistakes into a store, a ledger and an outbox, such as a
// release that ignores the token. The checker must refuse each of them.
//
// [dedupe.InFlight]: https://pkg.go.dev/github.com/deployhook/deployhook/dedupe#InFlight
package linearize
