// Package interop compares package signer with other libraries for signing and
// verifying webhooks. It has tests and benchmarks only. It is a separate
// module, so that users of signer do not download those libraries.
//
//   - Signatures go both ways. Each library verifies ours, and signer verifies
//     theirs. They are the Go libraries of Standard Webhooks and Svix,
//     stripe-go, and the npm packages standardwebhooks, svix and
//     http-message-signatures (for signer/httpsig). go-github and
//     go-playground/webhooks can only verify.
//   - README.md has a table of requests that other libraries accept and signer
//     refuses. Each row is a test, and the test fails if table and rows differ.
//     To write the table again, run go test -run TestTable -update.
//   - moving_test.go has receivers before and after they move to package
//     receiver. They are the snippets of the guide about moving in.
//   - go test -bench . compares the speed of Verify and Sign.
//
// The tests run npm ci in a temporary directory, at the versions in testdata.
// Without Node and npm they are skipped. They fail instead if
// DEPLOYHOOK_TEST_REQUIRE_SERVICES is 1.
package interop
