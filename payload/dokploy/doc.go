// Package dokploy converts Dokploy's custom notifications to deployment
// records.
//
//	token, err := signer.NewLiteralSecret(os.Getenv("DOKPLOY_TOKEN"))
//	if err != nil {
//		return err
//	}
//	verifier, err := dokploy.NewVerifier(token)
//	if err != nil {
//		return err
//	}
//	decode, err := dokploy.NewDecoder(dokploy.WithEnvironment("production"), dokploy.WithComplete(lookUp))
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "dokploy"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/dokploy", rcv.Records(decode, onDeployment))
//
// In Dokploy, add a notification of the kind Custom for "App Deploy" and "App
// Build Error", with the endpoint and the header "Authorization" with the value
// "Bearer TOKEN".
//
// # Handling of events
//
//	build, success              success
//	build, error                failure
//	other types, such as the
//	test, backups and restarts  ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// Dokploy reports only the end of a deployment, and names neither the
// deployment nor its commit. [WithComplete] is therefore required. It can ask
// Dokploy's API for the latest deployment of the service, whose ID is in the
// metadata as serviceId, and must set CommitSHA. Without a better DeploymentID,
// the record gets one from the service and the time of the event. Without a
// better StartedAt, it has the end of the deployment there, with metadata
// startedAtUnknown=true.
//
// # Security properties
//
//   - Dokploy signs nothing. The token proves who sends, not what is sent.
//     Anyone who sees one request can send any other. Use it only over TLS, and
//     with a separate token.
//   - Without the header, requests are refused with 401.
//   - There is no signed timestamp and no signed ID, so deduplication by the
//     hash of the body is the only defense against replays, and only while its
//     store remembers the delivery.
//
// # Common mistakes
//
//   - Dokploy sends each event once. An answer other than 2xx loses it, so
//     accept it durably first, as receiver/inbox does.
//   - Set a timeout for calls in WithComplete, because the delivery waits for
//     them.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package dokploy
