package cdevents

import (
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// The events that this package writes or reads, by subject and predicate.
// Events that it writes have the prefix and the version below, as in CDEvents
// v0.5.1.
const (
	pipelineQueued    = "pipelinerun.queued"
	pipelineStarted   = "pipelinerun.started"
	pipelineFinished  = "pipelinerun.finished"
	taskStarted       = "taskrun.started"
	taskFinished      = "taskrun.finished"
	buildFinished     = "build.finished"
	suiteFinished     = "testsuiterun.finished"
	serviceDeployed   = "service.deployed"
	serviceUpgraded   = "service.upgraded"
	serviceRolledBack = "service.rolledback"
)

const (
	standardPrefix = "dev.cdevents."
	customPrefix   = "dev.cdeventsx."
	ownPrefix      = customPrefix + "deployhook-"
	version        = ".0.3.0"
	customVersion  = ".0.1.0"
)

// The outcomes of a finished run in CDEvents v0.5.1.
const (
	outcomeSuccess = "success"
	outcomeFailure = "failure"
	outcomeCancel  = "cancel"
	outcomeError   = "error"
)

// deployTask is the name of the task that represents a deployment with an
// unknown pipeline.
const deployTask = "deploy"

// fullType returns the full type for a subject and predicate.
func fullType(kind string) string {
	if strings.HasPrefix(kind, customPrefix) {
		return kind
	}
	return standardPrefix + kind + version
}

// parseType checks the format of a type and returns its subject and predicate,
// or "" for a custom event.
func parseType(s string) (kind string, ok bool) {
	if rest, custom := strings.CutPrefix(s, customPrefix); custom {
		tool, rest, found := strings.Cut(rest, "-")
		_, ok = splitType(rest)
		return "", found && ok && isAlnumWord(tool)
	}
	rest, standard := strings.CutPrefix(s, standardPrefix)
	kind, ok = splitType(rest)
	return kind, standard && ok
}

// splitType removes the version from
// <subject>.<predicate>.<major>.<minor>.<patch>.
func splitType(s string) (kind string, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 5 || !isLetters(parts[0]) || !isLetters(parts[1]) {
		return "", false
	}
	// A draft of the specification marks the types that it changed.
	parts[4] = strings.TrimSuffix(parts[4], "-draft")
	for _, part := range parts[2:] {
		if !isDigits(part) {
			return "", false
		}
	}
	return parts[0] + "." + parts[1], true
}

// customType returns the type of a custom event for a platform's own type.
// CDEvents allow only letters there. customType therefore removes other
// characters and joins all words except the last. For example,
// "cache_2.warm.up" becomes deployhook-cachewarm.up. The result cannot be
// reversed, so customData holds the original type.
func customType(t payload.Type) string {
	dot := strings.LastIndexByte(string(t), '.')
	subject, predicate := letters(string(t[:dot])), letters(string(t[dot+1:]))
	if subject == "" {
		subject = "event"
	}
	if predicate == "" {
		predicate = "reported"
	}
	return ownPrefix + subject + "." + predicate + customVersion
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, s)
}

func isLetters(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) < 0
}

func isDigits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

func isAlnumWord(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r > 0x7f || !isAlnum(byte(r)) }) < 0
}
