// Package ledgertest checks that a [deployments.Ledger] keeps its contract. Every ledger of this module passes it unchanged, and
// so should yours:
//
//	func TestLedger(t *testing.T) {
//		ledgertest.Run(t, ledgertest.Config{
//			New: func(t testing.TB) ledgertest.Ledger { return newMyLedger(t) },
//		})
//	}
//
// The suite uses many organizations, so that it needs no empty ledger for each check, and goes through the interface alone.
//
// # Security
//
// The suite looks for records that leak from one organization into another, under organizations and deployment IDs made to be
// confused, and for text that a database could take for something else: quotes, wildcards, NUL.
//
// # Misuses
//
//   - Running it against a ledger that is in use: it leaves its records behind.
//   - Taking it for a proof of durability: it does not stop the ledger.
package ledgertest
