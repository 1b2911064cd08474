// Package model has the two protocols on which no delivery may be lost, as
// models that a checker runs through completely. They are written in Promela
// for Spin (https://spinroot.com), which is Debian's package spin.
//
//	claim.pml     a key of a dedupe store: claim, renew, complete, release,
//	              the end of a lease, a crash, and the effect of the handler
//	delivery.pml  a delivery of the outbox: publish, attempt, crash, retry,
//	              replay, disable and enable, supersede, and rescue
//
// A comment above each step names the Go functions that implement it, as "Go:
// FILE FUNCTION". The test checks that they exist, that the models have no
// error, and with -model.full that the checker finds each wrong variant. Change
// the model first when you change the protocol.
//
// A counterexample prints like this:
//
//	cd internal/model
//	spin -search -DREMEMBER_BEFORE_HANDLE claim.pml
//	spin -t -p -g claim.pml
package model
