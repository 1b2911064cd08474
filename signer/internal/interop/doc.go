// Package interop holds package signer against the libraries that other people verify and sign webhooks with: it has tests and
// benchmarks only, in a module of its own, so that nobody who imports signer downloads those libraries.
//
//   - Both directions, they sign and we verify, we sign and they verify: the Go libraries of Standard Webhooks and Svix,
//     stripe-go, and the npm packages standardwebhooks, svix and http-message-signatures (for signer/httpsig). go-github only
//     verifies.
//   - What peers accept and we refuse: the table in README.md. Each of its rows is a test, and the test fails when the
//     table and the rows differ; go test -run TestTable -update writes it anew.
//   - Verify and Sign beside the peers': go test -bench .
//
// The npm packages are installed by npm ci, at the versions in testdata, into a temporary directory. Without Node and npm
// those tests are skipped, except where DEPLOYHOOK_TEST_REQUIRE_SERVICES is 1.
package interop
