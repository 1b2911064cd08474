// Package dedupetest checks that a dedupe.Store implements its contract.
// Every store of this module passes the suite without changes. Run it for your
// own store:
//
//	func TestConformance(t *testing.T) {
//		dedupetest.Run(t, dedupetest.Config{
//			New: func(t testing.TB, ttl time.Duration) dedupetest.Subject {
//				return dedupetest.Subject{Store: newMyStore(t, ttl)}
//			},
//			Around: synctest.Test,
//		})
//	}
//
// # Time
//
// Most of the contract depends on time. The suite lets time pass with
// [Subject.Advance], which defaults to [time.Sleep]:
//
//   - A store that uses the process's clock runs in a testing/synctest bubble,
//     as above, where sleeping takes no time.
//   - For an embedded server with an adjustable clock, Advance moves that
//     clock.
//   - A real server's clock cannot be moved, so the suite really waits. Make
//     [Config.Lease] and [Config.TTL] short, and make [Config.Slack] longer
//     than the slowest call.
//
// For a real server, use for example:
//
//	dedupetest.Config{
//		Lease: time.Second, TTL: 2 * time.Second,
//		Slack: 500 * time.Millisecond, Parallel: true,
//	}
//
// # Limits of the suite
//
// The suite does not test failures, such as lost connections and restarted
// servers. Write separate tests for these. It also does not test features
// beyond the interface, such as completing in a transaction of the caller. To
// cover that one, write a wrapper whose Complete begins and commits such a
// transaction, and run the suite on the wrapper too.
package dedupetest
