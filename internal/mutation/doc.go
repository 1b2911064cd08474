// Command mutation tests the tests of the packages in which a mistake is most
// expensive. It makes one small change at a time, a mutant, and runs the tests.
// If they pass, they do not notice the change. It prints such mutants, and a
// table with the share that the tests notice.
//
//	go run ./internal/mutation                # all subjects
//	go run ./internal/mutation -only sealing  # one of them
//	go run ./internal/mutation -only dedupe -match 'expiry.go.*sinkLease'
//	go run ./internal/mutation -resume /tmp/mutation.results
//
// The changes are:
//
//   - an operator is negated, or its boundary moves, or it is exchanged
//   - a condition or a boolean result is negated
//   - an integer is one more or one less
//   - a result is nil, zero or empty
//   - a statement is removed
//
// All mutants of a subject are in one test binary, as copies of their
// functions, and an environment variable chooses one. A mutant of a constant
// outside functions needs a separate binary. The go command's -overlay replaces
// the files, so the tree does not change. A mutant runs only the tests that run
// its code. The first is the test that noticed it in an earlier run, or noticed
// other mutants of the function. The others follow, the quick ones first. A
// mutant that computes without end, or waits without end, counts as noticed.
//
// With -resume, each result is appended to a file. After an interruption the
// same command continues where it was. After a change of the code or the tests
// it tries each mutant again, first those that survived, and starts with the
// test that noticed it before.
//
// Some mutants change no behaviour. They are in equivalent.txt, each with the
// reason, and do not count. An entry that matches no mutant is an error, and so
// is one that a test notices.
//
// The command ends with an error if a score is below -min. It needs no server.
package main
