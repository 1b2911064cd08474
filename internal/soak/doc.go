// Soak runs the whole of deployhook for as long as asked, with faults. It
// exits with 0 only if nothing was lost.
//
//	go run ./internal/soak -for 20m
//	go run ./internal/soak -for 5m -store postgres -seed 42
//
// Processes publish to an outbox, and others receive. An event goes through
// the outbox, the network, a receiver and its handler. Each store runs in a
// separate world, at the same time as the others:
//
//	store     sender                 receiver
//	sqlite    outbox in a file       inbox in a file, effects in its transactions
//	postgres  outbox in PostgreSQL   inbox in PostgreSQL, effects in its transactions
//	redis     outbox in a file       handler called at once, claims in Redis
//
// A world has two processes that publish and deliver, and two that receive.
// One process of each kind is never killed, so that the trend of its memory
// means something. Between the two kinds is a proxy that spoils connections.
//
//	fault                          what happens
//	kill-sender, kill-receiver     SIGKILL and a new process
//	stop-sender, stop-receiver     SIGSTOP for some seconds, also of the others
//	term-sender, term-receiver     SIGTERM, and the process has to end by itself
//	net-reset                      connections are reset in mid-body
//	net-delay, net-hole            connections are slow, or hang
//	db-lock                        another process locks the SQLite files
//	db-terminate                   PostgreSQL ends all sessions
//	db-kill, db-pause              PostgreSQL or Redis is killed, or frozen
//
// Meanwhile operators rotate secrets, disable and enable an endpoint, and
// replay deliveries. The seed fixes the faults and the operators' calls. It
// does not fix the order in which processes run.
//
// These are violations:
//
//   - An acknowledged event was not handled at an endpoint that is subscribed.
//     The disabled endpoint is sent what it missed first.
//   - An event published in a transaction exists without the application's row,
//     or the row without the event.
//   - An effect happened twice in a transactional inbox. With Redis, an event
//     was handled again after its claim was completed.
//   - An event has two delivery IDs at an endpoint, or two attempts of a
//     delivery had different bytes.
//   - A delivery reached another app's endpoint, or one whose filter does not
//     take it.
//   - Something is left as a dead letter, or stays pending while nothing ends
//     for the time of -drain.
//   - A process ended by itself, or did not end when it was asked to.
//   - The memory, goroutines or files of a process grow.
//
// Growth is that of the two processes which are never killed, without the first
// third of the run. It is judged in runs of three minutes and more:
//
//	heap after garbage collection   256 KiB a minute (-heap-bound)
//	resident memory                 2 MiB a minute
//	goroutines, open files          half of the first value, and 20, also
//	                                when everything is delivered
//
// The first violation ends the run. The exit status is then 1, and 2 for wrong
// flags. An interrupt ends a run early, with all checks.
package main
