// Package ledgertest tests the contract of a deployments.Ledger. All ledgers
// of this module pass it unchanged. Run it for your own:
//
//	func TestLedger(t *testing.T) {
//		ledgertest.Run(t, ledgertest.Config{
//			New: func(t testing.TB) ledgertest.Ledger { return newMyLedger(t) },
//		})
//	}
//
// The suite uses many organizations, so the checks can share a ledger. It uses
// only the interface.
//
// # Security
//
// The suite looks for records that leak from one organization into another. Its
// organizations and deployment IDs are easy to confuse. It also uses text that
// a database may misread, such as quotes, wildcards and NUL.
//
// # Misuses
//
//   - Running it against a ledger in use. Its records stay there.
//   - Taking it as a proof of durability. It does not stop the ledger.
package ledgertest
