package ci

import (
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// ParseStatus converts a CI system's word for the state of a job, a step or a
// run. It returns false for an unknown word. It ignores case, and blanks, "-"
// and "_" between words.
//
//	success      success, succeeded, successful, SucceededWithIssues,
//	             partiallySucceeded, passed, ok, 0
//	failure      failure, failed, fail, error, errored, broken, rejected,
//	             expired, UNSTABLE, timed_out, timeout, startup_failure,
//	             and every other exit code
//	cancelled    cancelled, canceled, ABORTED, NOT_BUILT, stopped, skipped,
//	             killed, abandoned, declined
//	in_progress  in_progress, running, started, building, deploying,
//	             canceling, stopping
//	pending      pending, created, queued, waiting, scheduled, blocked,
//	             notStarted, notDeployed, action_required,
//	             waiting_for_resource, preparing
//	rolled_back  rolled_back, rolledback, rollback
//
// Two words could be read either way. Jenkins' UNSTABLE is a completed run with
// failed tests and counts as a failure. Azure Pipelines' SucceededWithIssues is
// a run with warnings and counts as a success. Exit codes are whole numbers.
func ParseStatus(text string) (payload.Status, bool) {
	word := strings.ToLower(strings.TrimSpace(text))
	if code, ok := exitCode(word); ok {
		return code, true
	}
	switch strings.NewReplacer("_", "", "-", "", " ", "").Replace(word) {
	case "success", "succeeded", "successful", "succeededwithissues", "partiallysucceeded", "passed", "ok":
		return payload.StatusSuccess, true
	case "failure", "failed", "fail", "error", "errored", "broken", "rejected", "expired", "unstable", "timedout",
		"timeout", "startupfailure":
		return payload.StatusFailure, true
	case "cancelled", "canceled", "aborted", "notbuilt", "stopped", "skipped", "killed", "abandoned", "declined":
		return payload.StatusCancelled, true
	case "inprogress", "running", "started", "building", "deploying", "canceling", "stopping":
		return payload.StatusInProgress, true
	case "pending", "created", "queued", "waiting", "scheduled", "blocked", "notstarted", "notdeployed",
		"actionrequired", "waitingforresource", "preparing":
		return payload.StatusPending, true
	case "rolledback", "rollback":
		return payload.StatusRolledBack, true
	default:
		return "", false
	}
}

// exitCode reads a whole number. Windows exit codes may be negative or have up
// to 32 bits.
func exitCode(word string) (payload.Status, bool) {
	digits := strings.TrimPrefix(word, "-")
	if digits == "" || len(digits) > 10 || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	if isZeros(digits) {
		return payload.StatusSuccess, true
	}
	return payload.StatusFailure, true
}
