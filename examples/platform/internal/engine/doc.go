// Package engine deploys programs for real, in small: it builds them, starts them, waits until they are healthy, switches traffic to
// them, watches them, and goes back to the version before when that was a mistake. What happens is handed to a Record function as
// the six events of a deployment's life:
//
//	deploy.started        the deployment was accepted
//	build.completed       the program is there
//	health_check.passed   the new instance answers 200 at /health
//	deploy.live           traffic goes to it; the old instance still has the requests it began with
//	deploy.failed         it did not compile, was not healthy in time, exited, or the platform is stopping
//	deploy.rolled_back    the version before is live again: after a failed health check, after a crash of the new one within
//	                      the time in which it is watched, or because a person asked
//
// A version that fails before it is started (it does not compile) has nothing to go back from, so there deploy.failed is the
// last event. One that was started and failed is taken away for the version before: deploy.failed, then deploy.rolled_back. One that had
// succeeded and then fails gets a deploy.rolled_back alone, since a deployment has one outcome.
//
// An engine has one app in one place once: no cluster, no containers, no sandbox. The programs are the embedded Sources.
package engine
