// Package deployments receives and keeps records of deployments. Pipelines send
// them with an API key to an endpoint that is compatible with Periscope's
// deployment webhook. A ledger stores them.
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
// [Endpoint] documents the answers. Other packages complete it:
//
//   - Package sqlledger stores records in SQLite or PostgreSQL.
//   - Package gitlinker counts pull requests in a local git repository.
//   - Package ledgertest tests your own [Ledger].
//
// # Metrics
//
// Package dora computes the five DORA metrics from a ledger. For that purpose a
// ledger keeps the reports of each deployment, see [Record.Run], and incidents,
// which [NewIncidents] receives.
//
// # Security properties
//
//   - A request is authenticated before anything in it is recorded.
//   - The organization comes from the key that matched, never from the body. No
//     organization sees, changes or counts another's records.
//   - A refusal does not tell the sender the reason. The operator's log line
//     does.
//
// # Misuses
//
//   - API keys without TLS. An attacker who captures a request can send it
//     again.
//   - A memory ledger behind a load balancer. Each instance then has its own
//     records.
package deployments
