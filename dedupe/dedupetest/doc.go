// Package dedupetest checks that a [dedupe.Store] keeps its contract. Every store of this module passes it unchanged,
// and so should yours:
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
// Most of the contract is about time. The suite makes it pass with [Subject.Advance], which defaults to [time.Sleep]:
//
//   - A store whose clock is the process's own runs in a bubble of testing/synctest, as above, where sleeping takes no time.
//
//   - An embedded server with a clock that can be set has it moved by Advance.
//
//   - A real server's clock cannot be moved, so the suite really waits. Make [Config.Lease] and [Config.TTL] short, and
//     [Config.Slack] long enough for the slowest answer.
//
// For a real server, say:
//
//	dedupetest.Config{Lease: time.Second, TTL: 2 * time.Second, Slack: 500 * time.Millisecond, Parallel: true}
//
// # What is not covered
//
// A store that fails: connections lost, servers restarted. What a store does with what it cannot reach is
// its own tests' matter. Neither are capabilities beyond the interface, such as completing in a transaction of the
// caller; to cover that one, wrap the store in one whose Complete begins and commits such a transaction, and run the suite
// on the wrapper as well.
package dedupetest
