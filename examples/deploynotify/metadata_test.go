package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMetadata_CommasAndRepetition(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		variable string
		args     []string
		want     map[string]string // as JSON
	}{
		"repeated":                     {"", []string{"note=fix a, b", "n=1"}, map[string]string{"note": `"fix a, b"`, "n": "1"}},
		"repeated, and like a list":    {"", []string{"hosts=a=1,b=2", "ok=true"}, map[string]string{"hosts": `"a=1,b=2"`, "ok": "true"}},
		"list":                         {"", []string{"version=2.1.0,replicas=3, canary=true,"}, map[string]string{"version": `"2.1.0"`, "replicas": "3", "canary": "true"}},
		"one with a comma":             {"", []string{"note=fix a, b"}, map[string]string{"note": `"fix a, b"`}},
		"one with a link":              {"", []string{"note=see a, https://x.example/?q=1"}, map[string]string{"note": `"see a, https://x.example/?q=1"`}},
		"variable with a list":         {"a=1,b=2", nil, map[string]string{"a": "1", "b": "2"}},
		"variable of several lines":    {"note=fix a, b=c\n\nn=1\n", nil, map[string]string{"note": `"fix a, b=c"`, "n": "1"}},
		"a flag wins over a variable":  {"a=1", []string{"b=2"}, map[string]string{"b": "2"}},
		"a flag of several lines":      {"", []string{"note=one\ntwo"}, map[string]string{"note": `"one\ntwo"`}},
		"numbers that are no integers": {"", []string{"v=1.10,id=007"}, map[string]string{"v": `"1.10"`, "id": `"007"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"-environment", "production", "-status", "success"}
			for _, pair := range c.args {
				args = append(args, "-metadata", pair)
			}
			e := dryRun(t, with(with(githubPush(), hook()), env{"DEPLOYHOOK_METADATA": c.variable}), args...)
			for name, want := range c.want {
				value, found := e.Metadata.Get(name)
				require.True(t, found, name)
				require.Equal(t, want, value.JSON(), name)
			}
			_, found := e.Metadata.Get("a")
			require.Equal(t, c.want["a"] != "", found)
		})
	}
	for _, args := range [][]string{{"-metadata", "b"}, {"-metadata", "=1"}, {"-metadata", "a=1", "-metadata", "fix b"}, {"-metadata", "b, a=1"}} {
		code, _, stderr := inProcess(with(githubPush(), hook()), append(args, "-environment", "production", "-status", "success", "-dry-run")...)
		require.Equal(t, 2, code, args)
		require.Contains(t, stderr, "want name=value")
	}
}
