// Package recovery finds the webhook deliveries that GitHub or GitLab could not
// deliver, and asks the platform to send them again. GitHub never retries a
// failed delivery by itself, and neither does GitLab.
//
//	key, err := os.ReadFile("app.private-key.pem")
//	if err != nil {
//		return err
//	}
//	token, err := recovery.GitHubAppToken(os.Getenv("GITHUB_APP_CLIENT_ID"), key)
//	if err != nil {
//		return err
//	}
//	client, err := recovery.New(recovery.GitHubApp(), token)
//	if err != nil {
//		return err
//	}
//	return client.Run(ctx) // every 10 minutes, until ctx ends
//
// [GitHubOrganization], [GitHubRepository], [GitLabProject] and [GitLabGroup]
// name other logs. Their [Token] is a function, for a token from the
// environment, a file or a vault. [Client.Recover] makes one run and returns a
// [Result]. [WithDryRun] only lists what is missing.
//
// # How it works
//
// A run reads the platform's delivery log from the newest attempt to the
// oldest, and groups the attempts by delivery. A delivery with one accepted
// attempt (2xx) is complete. The run asks the platform to send the others
// again, the oldest first. They arrive at your endpoint by the normal path.
// Your receiver verifies the signature and recognizes duplicates. Nothing from
// an answer of the API reaches your handler.
//
//	a delivery that was missed              what a run does
//	it can be sent again                    asks for it
//	its attempt has no result yet           waits for up to 15 minutes
//	several attempts failed                 asks again after 5, 10, 20, … minutes
//	10 attempts failed                      gives it up, see WithMaxAttempts
//	the platform refuses to send it         gives it up
//
// # Restarts and lost answers
//
// A run needs no state, because all facts are in the log. If the answer to an
// ask is lost, the ask is not repeated. A later run finds the new attempt in
// the log. A process that starts within minutes of another one may ask for a
// delivery again, because the log is late. The receiver then recognizes the
// duplicate. For the same reason, run one Client for each webhook.
//
// To read less after a restart, store [Result].CompleteUntil and give it to
// [WithSince]. [Client.Run] does so in memory.
//
// # How long the logs last
//
//	github.com                  3 days
//	GitHub Enterprise Server    7 days
//	GitLab                      7 days
//
// The store of the receiver must remember deliveries for longer than that.
// Otherwise a delivery is handled twice whose first attempt was handled, but
// answered too late. The default of package dedupe is 48 hours, so set
// dedupe.WithTTL to 4 days or 8 days.
//
// The numbers are from
// docs.github.com/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks
// and docs.gitlab.com/api/project_webhooks.
//
// # Rate limits
//
// A run makes one request at a time and pauses between asks, see [WithPace]. It
// follows Retry-After and the headers of the primary and the secondary limits,
// and waits for up to [WithMaxWait]. A page has 100 deliveries of GitHub and 20
// of GitLab. GitLab permits five asks a minute.
//
// # GitLab
//
//   - GitLab 17.4 or later can resend. Older versions have no key that tells
//     which attempts belong together, so that their entries are refused.
//   - GitLab stores requests with e-mail addresses replaced by "[REDACTED]",
//     and resends what it stored. The bytes may therefore differ from the
//     original. With a signing token, the receiver recognizes duplicates by
//     their ID. With only a secret token it compares bytes, so that a delivery
//     may be handled twice that was handled but answered too late.
//   - GitLab sends before it answers, so the [Result] says whether the receiver
//     accepted. A webhook that fails four times in a row is disabled for a
//     while, and loses events. A run stops after two failures.
//   - A request whose body was too long for GitLab's log can't be sent again.
//
// # Security properties
//
//   - The token is read for each request, is sent only to the host of [WithAPI]
//     over https, and is in no log line and no error. Redirects are not
//     followed. Of a link in an answer, only the cursor is used.
//   - Answers are bounded in size and time. Names can't lead to another path.
//   - The token can read payloads and change webhooks. Give it access to the
//     webhook only, and prefer a GitHub App.
//
// # Common mistakes
//
//   - Do not run it while the receiver is being repaired. Each failed attempt
//     counts.
//   - A token that other programs use. Its rate limit is used up for them too.
//   - An endpoint that answers 400 to events that it does not want fills the
//     log with failures. Package receiver answers 200 to events that it
//     ignores. Or limit the client with [WithEvents].
package recovery
