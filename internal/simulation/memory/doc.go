// Package memory simulates what needs no database: senders with their
// schedules, receivers with all kinds of handler, a dedupe store in memory, and
// the ledger of the deployments endpoint. Package sim describes how a
// simulation works.
//
//	go test ./internal/simulation/memory                      # a few hundred seeds
//	go test ./internal/simulation/memory -v -sim.seeds 10000  # with the report
//	go test ./internal/simulation/memory -v -sim.for 30m
//	go test ./internal/simulation/memory -v -sim.bugs .       # are known bugs found?
//
// # Invariants
//
// These hold at all times, whatever fails:
//
//   - A delivery whose sender was told that it succeeded took effect.
//   - If the effect and the completion are one transaction, a delivery takes
//     effect once. Without a transaction it takes effect again only for one of
//     the documented reasons: a handler failed after its effect, a completion
//     was lost, a lease was lost, a process died, the memory store of a process
//     went with it, or the TTL passed.
//   - Two handlers never run for one delivery, unless the context of the first
//     has ended.
//   - Each answer of the dedupe store is that of a sequential model. Therefore
//     a worker whose lease was taken over completes, renews and releases
//     nothing.
//   - Tokens of a key increase.
//   - The status of a deployment in the ledger never goes back, and no
//     acknowledged report is lost.
//   - Each wait between attempts is in the range that its schedule documents,
//     or is the Retry-After of the answer. Each attempt keeps to its timeout.
//   - When the faults have ended, each attempt succeeds. Each delivery ends as
//     delivered or exhausted.
//   - After the TTL a full store has room for as many keys as at the start, and
//     no goroutine is left.
package memory
