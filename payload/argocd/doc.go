// Package argocd converts notifications of Argo CD to deployment records.
//
//	token, err := signer.NewLiteralSecret(os.Getenv("ARGOCD_TOKEN"))
//	if err != nil {
//		return err
//	}
//	verifier, err := argocd.NewVerifier(token)
//	if err != nil {
//		return err
//	}
//	decode, err := argocd.NewDecoder()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "argocd"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/argocd", rcv.Records(decode, onDeployment))
//
// Argo CD's notifications have no fixed form. An operator writes a template of
// the body. This package reads the body of the template in [ConfigMap], which
// is also the file argocd-notifications-cm.yaml. Merge it into the ConfigMap
// argocd-notifications-cm, and put the token into argocd-notifications-secret.
// Then subscribe applications to the trigger on-deployhook.
//
// # Handling of events
//
//	Running, Terminating                   in_progress
//	Error, Failed                          failure
//	Succeeded, and the application is
//	    Healthy                            success
//	    Degraded                           failure
//	    Progressing, Suspended, Missing,
//	    Unknown                            in_progress
//	no sync operation, dry run, selective
//	sync, body of another template         ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus, and the application's health. RawPayload has the
// whole event if it has at most 64 KiB.
//
// A deployment is one sync operation. Its ID consists of the application's UID
// and the start of the operation, so the same revision can be deployed again.
// This includes syncs that only correct a drift (self-heal). To leave these
// out, change each oncePer of the trigger to
//
//	oncePer: app.status.operationState?.syncResult?.revision
//
// With that, Argo CD does not notify when someone rolls back to a revision that
// was deployed before.
//
// The environment is the application's label environment, or else the namespace
// or the cluster that it deploys to. [WithEnvironment] replaces it. Of several
// sources, the first one from git gives the commit, the previous commit and the
// branch. The revision of a Helm chart becomes the version. An application
// without a source from git has no commit, which is an error unless
// [WithComplete] sets it.
//
// # Security properties
//
//   - Argo CD signs nothing. The token proves who sends, not what is sent.
//     Anyone who sees one request can send any other. Use it only over TLS, and
//     with a separate token.
//   - There is no timestamp and no signed ID, so deduplication by the hash of
//     the body is the only defense against replays, and only while its store
//     remembers the delivery. A retry repeats the body byte for byte.
//   - The template sends selected members only. Do not send whole specs, since
//     Helm parameters may contain secrets.
//
// # Common mistakes
//
//   - Argo CD tries four times within seconds, and only after network errors
//     and answers with 5xx. Store deliveries durably if none may be lost, as
//     receiver/inbox does.
//   - An application can become degraded long after a deployment. The trigger
//     sends that once for each operation. Such a failure comes after a success
//     and is stale by payload.Status.Transition.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package argocd
