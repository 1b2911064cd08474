// Package database simulates a platform whose outbox is a SQLite file, and a
// customer whose inbox and whose ledger of deployments are others. Package sim
// describes how a simulation works, and package disk the disk below both files.
//
//	go test ./internal/simulation/database                    # a few seeds
//	go test ./internal/simulation/database -v -sim.seeds 200  # with the report
//	go test ./internal/simulation/database -v -sim.for 30m
//	go test ./internal/simulation/database -v -sim.bugs .     # are known bugs found?
//
// It runs on Linux with amd64 or arm64.
//
// A seed takes about half a second of a core. Most of it is SQLite preparing
// statements.
//
// # The world
//
// One to three processes share the file of the outbox. They publish directly,
// in transactions of the platform that commit or roll back, and the same event
// again after an error. Two apps have endpoints with filters and rate limits,
// which fail, hang, send Retry-After or 410. One endpoint may be an inbox of
// one or two processes, whose handler has its effects in the transaction that
// completes the delivery, or elsewhere. Pipelines report deployments to a
// ledger of one or two processes, each status until it is acknowledged.
// Operators rotate secrets, disable, enable, delete, change rate limits, replay
// and send what was missed. Processes crash, also between any two operations on
// the disk, stop in order, and start again. The disk is busy, full, broken or
// slow.
//
// There are three kinds of worlds:
//
//   - In most, everything above happens.
//   - In some, nothing fails but endpoints. Operators lower rate limits and
//     lift them again. All waits can be checked at any time.
//   - In a few, there is one outage. An endpoint fails or hangs while many
//     events are published. All processes are killed just before it is back, or
//     just after it has accepted some.
//
// # Invariants
//
// These hold at every quiescence, or are checked when a request arrives:
//
//   - A delivery that has ended stays as it is, unless it is replayed or an
//     attempt that was under way has delivered it. Its numbers of attempts and
//     replays never decrease.
//   - An endpoint gets events of its own app only, which its filter accepts and
//     whose transaction was committed. This includes replays.
//   - All requests of an event to an endpoint have one delivery ID and the same
//     bytes, and a signature by a key that the customer knows.
//   - A disabled or deleted endpoint gets nothing but attempts that were under
//     way.
//   - A healthy endpoint with a due delivery gets an attempt within 12 seconds.
//     When faults have just ended, another process may have to take over first,
//     which is allowed 28 seconds more.
//   - The status of a deployment in the ledger never goes back, and is at least
//     the one that was acknowledged. Each answer is that of a ledger in memory.
//
// These hold at the end, after the faults have ended and operators have sent
// again what was missed or failed:
//
//   - Each endpoint has accepted all acknowledged events of its app and filter.
//   - Each delivery that the inbox has accepted took effect, and with
//     transactions once.
//   - Nothing waits any longer, in neither database.
//   - No retry came before its time or after the end of the schedule.
//   - No second had more than one attempt over a rate limit.
//   - With WithOrdering, no delivery began before older ones of its deployment
//     had ended.
//   - After an outage and a restart, nineteen of twenty deliveries of the
//     backlog came within 35 seconds of the first.
//   - No panic was contained, Close succeeds, and no goroutine is left.
//
// # What it has found
//
//   - One process recorded that all sleeping jobs of an endpoint were woken up,
//     while another was recording a snooze by the old rate limit. The delivery
//     slept for an hour. See TestWaker_SearchesAgainWhenSettled of the outbox.
//   - The seeds of package memory found that a handler learned late that its
//     lease had ended. See TestRenewal_StoreHangsAtTheEndOfTheLease of the
//     receiver.
//
// # What is not simulated
//
// SQLite reads the clock of the bubble, as package time does, so the clocks of
// the processes do not differ. The disk does not lose what was written, so
// there is no power failure.
//
// The bubble's clock stands still while a goroutine waits for a mutex. So the
// disk does not hang while package database/sql reads the rows of a statement.
// See readsRows.
//
// If the clock still stands still for two minutes, the run fails with the
// goroutines that block.
package database
