// Package engine really deploys programs, on a small scale. It builds them,
// starts them, waits until they are healthy, switches traffic to them and
// watches them. If a version fails, it switches back to the previous one. It
// passes each step to a Record function as one of these events:
//
//	deploy.started        the deployment was accepted
//	build.completed       the program is built
//	health_check.passed   the new instance answers 200 at /health
//	deploy.live           new requests go to it; the old instance finishes its requests
//	deploy.failed         the deployment failed before it was live, or was cancelled
//	deploy.rolled_back    the previous version is live again
//
// The events at the end depend on when the deployment fails:
//
//	the version                          events
//	does not compile                     deploy.failed
//	exits, or is not healthy in time     deploy.failed, deploy.rolled_back
//	fails while it is watched            deploy.rolled_back
//	is rolled back on request            deploy.rolled_back
//	is interrupted by the platform       deploy.failed
//
// There is a deploy.rolled_back only if another version was live before.
//
// A version that was live has already succeeded. It has no deploy.failed,
// because a deployment has one outcome.
//
// An engine runs one instance of each app in one place. It has no cluster, no
// containers and no sandbox. The programs are the embedded Sources.
package engine
