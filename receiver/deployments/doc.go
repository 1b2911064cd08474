// Package deployments keeps records of deployments: the endpoint that takes
// them from pipelines with an API key, as Periscope's deployment webhook does,
// and the ledgers that store them.
//
//	ledger, err := deployments.NewMemoryLedger() // or sqlledger.OpenSQLite
//	if err != nil {
//		return err
//	}
//	endpoint, err := deployments.New(keys, ledger) // keys from signer.NewAPIKeys
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /api/webhooks/deployments", endpoint)
//
// [Endpoint] has the answers. Package sqlledger keeps records in SQLite or
// PostgreSQL, package gitlinker counts pull requests on a local git repository,
// and package ledgertest checks a [Ledger] of your own.
//
// # Security properties
//
//   - A request is authenticated before anything of it is recorded.
//   - The organization comes from the key that matched, never from the body.
//     No organization sees, changes or counts another's records.
//   - The sender learns nothing from a refusal. The operator's log line says why.
//
// # Misuses
//
//   - API keys without TLS: whoever captures a request can send it again.
//   - A memory ledger behind a load balancer: each instance then has its own
//     records.
package deployments
