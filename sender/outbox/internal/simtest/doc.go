// Package simtest simulates the admission of deliveries: breakers, windows,
// rate limits and the searches for snoozed jobs, in processes that share a slow
// database. It is a module below the outbox, because admission is internal
// there. Package sim in internal/simulation describes how a simulation works.
//
//	go test ./sender/outbox/internal/simtest -v -sim.seeds 5000
//
// # Invariants
//
//   - A process never has more attempts in flight than slots, nor more to an
//     endpoint than the endpoint's limit.
//   - No attempt starts while the process's own breaker is open, and after it
//     has closed the attempts of each second keep to the ramp.
//   - Attempts to an endpoint with a rate limit keep to it across processes. A
//     second has at most one more.
//   - A snooze is longer than zero and at most an hour.
//   - When the faults have ended, each job is delivered.
//   - Nothing panics, whatever a clock shows and however old a reading is.
package simtest
