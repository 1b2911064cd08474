package main

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// -version needs neither a URL nor a secret, and no variable of the job
// replaces the flag.
func TestVersion_OfTheTool(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := program(t, env{"DEPLOYHOOK_VERSION": "9.9.9"}, "-version")
	require.Equal(t, 0, code, stderr)
	require.Empty(t, stderr)
	require.Regexp(t, `^deploynotify (devel|v\d+\.\d+\.\d+\S*) \(go\S+, `+runtime.GOOS+"/"+runtime.GOARCH+`\)\n$`, stdout)

	code, _, stderr = inProcess(with(githubPush(), env{
		"DEPLOYHOOK_VERSION": "9.9.9", "DEPLOYHOOK_URL": "https://hooks.example.com/", "DEPLOYHOOK_SECRET": secretText,
	}), "-environment", "production", "-status", "success", "-dry-run")
	require.Equal(t, 0, code, "DEPLOYHOOK_VERSION is not read: %s", stderr)
}

func TestVersion_ComesFromTheBuild(t *testing.T) {
	t.Parallel()
	module := func(path, version string) *debug.Module { return &debug.Module{Path: path, Version: version} }
	for name, c := range map[string]struct {
		info *debug.BuildInfo
		want string
	}{
		"release or go run with a version": {&debug.BuildInfo{Main: *module(modulePath, "v0.3.0")}, "v0.3.0"},
		"work tree":                        {&debug.BuildInfo{Main: *module(modulePath, "(devel)")}, "devel"},
		"no version recorded":              {&debug.BuildInfo{Main: *module(modulePath, "")}, "devel"},
		"no build information":             {nil, "devel"},
		"tool of another module": {&debug.BuildInfo{
			Main: *module("example.com/shop", "v7.0.0"),
			Deps: []*debug.Module{module("example.com/other", "v1.0.0"), module(modulePath, "v0.3.0")},
		}, "v0.3.0"},
		"replaced": {&debug.BuildInfo{
			Main: *module("example.com/shop", "v7.0.0"),
			Deps: []*debug.Module{{Path: modulePath, Version: "v0.3.0", Replace: module("example.com/fork", "v0.3.1")}},
		}, "v0.3.1"},
	} {
		require.Equal(t, c.want, moduleVersion(c.info), name)
	}
}

// The deployed version has its own flag.
func TestVersion_OfTheDeployment(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/", "DEPLOYHOOK_SECRET": secretText})
	args := []string{"-environment", "production", "-status", "success", "-dry-run"}
	code, stdout, stderr := inProcess(e, append(args, "-deploy-version", "2.1.0")...)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, `\"version\":\"2.1.0\"`)
	code, stdout, stderr = inProcess(with(e, env{"DEPLOYHOOK_DEPLOY_VERSION": "2.2.0"}), args...)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, `\"version\":\"2.2.0\"`)
}
