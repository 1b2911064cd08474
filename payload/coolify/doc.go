// Package coolify converts Coolify's webhook notifications to deployment
// records.
//
//	password, err := signer.NewLiteralSecret(os.Getenv("COOLIFY_PASSWORD"))
//	if err != nil {
//		return err
//	}
//	verifier, err := coolify.NewVerifier("coolify", password)
//	if err != nil {
//		return err
//	}
//	decode, err := coolify.NewDecoder(coolify.WithComplete(lookUp))
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "coolify"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/coolify", rcv.Records(decode, onDeployment))
//
// In Coolify, enable the webhook notification for "Deployment Success" and
// "Deployment Failure". Its URL contains the user name and the password, as in
// https://coolify:PASSWORD@deploys.example.com/webhooks/coolify.
//
// # Handling of events
//
//	deployment_success             success
//	deployment_failed              failure
//	other events, such as the
//	test, backups and servers      ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// Coolify reports only the end of a deployment, with neither a commit nor a
// time. [WithComplete] is therefore required. It asks Coolify's API for the
// deployment, whose UUID is the DeploymentID, and sets these fields:
//
//   - CommitSHA
//   - StartedAt and CompletedAt
//
// A missing field is a configuration error, answered with 500.
//
// The deployment of a pull request goes to the environment preview. Coolify's
// own environment is in the metadata as environment, and the number of the pull
// request as pullRequest.
//
// # Security properties
//
//   - Coolify signs nothing and sends no header of yours. It takes a user name
//     and a password from the URL and sends them as basic authentication. They
//     prove who sends, not what is sent. Anyone who sees one request can send
//     any other. Use them only over TLS, and with a separate password.
//   - A request without the password is refused with 401. Do not put the secret
//     into the path or the query instead. Proxies log these.
//   - There is no timestamp and no signed ID, so deduplication by the hash of
//     the body is the only defense against replays, and only while its store
//     remembers the delivery.
//
// # Common mistakes
//
//   - Coolify repeats a delivery if the connection fails, and not after an
//     answer, whatever its status is. Accept the delivery durably first, as
//     receiver/inbox does.
//   - Set a timeout for calls in WithComplete, because the delivery waits for
//     them.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package coolify
