// Package crashtest kills receivers. Its tests run instances of a service on
// one listening socket. They kill them with SIGKILL at random moments and at
// each step of a delivery, and also kill the database. At the end they count
// which events took effect.
//
//	go test ./receiver/internal/crashtest                             # half a minute
//	go test ./receiver/internal/crashtest -crash.for=2h -timeout=3h   # as long as you like
//
// The tests check that every event took effect. They also check how often:
//
//	mode                            an event took effect again
//	claim completed in the          never
//	  handler's own transaction
//	memory store                    once for each process that died before
//	                                its sender had an answer
//	other stores                    once for each process that died between
//	                                the effect and the completion
//
// The last two rows are upper bounds.
package crashtest
