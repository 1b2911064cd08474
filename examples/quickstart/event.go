package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// currentEvent describes the deployment of the checked-out commit, from git.
// Without git it uses the CI system's environment. With neither it returns a
// sample, which app, message and metadata say.
func currentEvent(ctx context.Context) *payload.Event {
	commit, source := gitCommit(ctx), "git"
	if commit == nil {
		commit, source = ciCommit(), "ci"
	}
	app := "deployhook"
	if commit == nil {
		source, app = "sample", "sample-app"
		commit = &payload.Commit{
			SHA: "0000000000000000000000000000000000000000", Message: "sample commit: neither git nor a CI environment was found",
			Author: "nobody@example.com", Branch: "main",
		}
	}
	e := &payload.Event{
		Type: payload.DeployStarted, Timestamp: time.Now(), DeploymentID: payload.NewDeploymentID(),
		App: app, Environment: "production", Commit: commit, TriggeredBy: "quickstart",
	}
	if err := e.Metadata.Set("commit_source", source); err != nil {
		panic(err) // the name is constant and its value is one of three constants
	}
	return e
}

func gitCommit(ctx context.Context) *payload.Commit {
	git := func(args ...string) string {
		out, err := exec.CommandContext(ctx, "git", args...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	sha, rest, _ := strings.Cut(git("log", "-1", "--format=%H%x00%ae%x00%s"), "\x00")
	author, message, ok := strings.Cut(rest, "\x00")
	if !ok {
		return nil
	}
	branch := git("symbolic-ref", "--short", "-q", "HEAD")
	if branch == "" { // a detached head, which CI systems check out
		branch = firstEnv("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_BRANCH", "BRANCH_NAME")
	}
	return &payload.Commit{SHA: sha, Message: message, Author: author, Branch: branch}
}

func ciCommit() *payload.Commit {
	sha := firstEnv("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "CIRCLE_SHA1", "BUILDKITE_COMMIT", "GIT_COMMIT")
	if sha == "" {
		return nil
	}
	return &payload.Commit{
		SHA: sha, Message: firstEnv("CI_COMMIT_TITLE", "BUILDKITE_MESSAGE", "BUILD_SOURCEVERSIONMESSAGE"),
		Author: firstEnv("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR", "BUILD_REQUESTEDFOR"),
		Branch: firstEnv("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_BRANCH", "CIRCLE_BRANCH", "BUILDKITE_BRANCH", "BRANCH_NAME"),
	}
}

func firstEnv(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}
