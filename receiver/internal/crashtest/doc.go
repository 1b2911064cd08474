// Package crashtest kills receivers. Its tests run instances of a service behind one listening socket, end them with
// SIGKILL at random moments and at each named step of a delivery, kill the database under them, and count at the end what took
// effect.
//
//	go test ./receiver/internal/crashtest                             # half a minute
//	go test ./receiver/internal/crashtest -crash.for=2h -timeout=3h   # as long as you like
//
// What is checked:
//
//   - Every event took effect, in every mode.
//   - Where the handler completes its claim in its own transaction, none did so twice.
//   - In the other modes an event took effect once more only for each process that died between its effect and the
//     completion of its claim; with the memory store, for each process that died before its sender had an answer.
package crashtest
