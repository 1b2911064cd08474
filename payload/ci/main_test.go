package ci_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload/ci"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	sha     = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
	headSHA = "b2b2c3d4e5f60718293a4b5c6d7e8f9001122334"
	prevSHA = "c3b2c3d4e5f60718293a4b5c6d7e8f9001122334"
	zeros   = "0000000000000000000000000000000000000000"
)

// vars are environment variables.
type vars map[string]string

func (v vars) getenv(name string) string { return v[name] }

// with returns a copy with added or replaced variables. An empty value unsets a
// variable.
func (v vars) with(more vars) vars {
	all := make(vars)
	for name, value := range v {
		all[name] = value
	}
	for name, value := range more {
		all[name] = value
	}
	return all
}

func file(name, text string) fstest.MapFS {
	return fstest.MapFS{strings.TrimPrefix(name, "/"): {Data: []byte(text)}}
}

func detect(t testing.TB, env ci.Environment) *ci.Run {
	t.Helper()
	run, err := ci.Detect(context.Background(), env)
	require.NoError(t, err)
	return run
}

func detectVars(t testing.TB, v vars) *ci.Run {
	t.Helper()
	return detect(t, ci.Environment{Getenv: v.getenv})
}

// metadata returns a string member, and "" if there is none.
func metadata(t testing.TB, run *ci.Run, name string) string {
	t.Helper()
	value, ok := run.Metadata.Get(name)
	if !ok {
		return ""
	}
	text, ok := value.Text()
	require.True(t, ok)
	return text
}

// problemsBut returns the problems of all other fields.
func problemsBut(run *ci.Run, field string) []ci.Problem {
	return slices.DeleteFunc(slices.Clone(run.Problems), func(p ci.Problem) bool { return p.Field == field })
}

func problem(run *ci.Run, field string) ci.Problem {
	for _, p := range run.Problems {
		if p.Field == field {
			return p
		}
	}
	return ci.Problem{}
}

// git returns a fake git that answers by its first argument.
func git(answers map[string]string) func(context.Context, ...string) (string, error) {
	return func(_ context.Context, args ...string) (string, error) {
		answer, ok := answers[args[0]]
		if !ok {
			return "", errors.New("exit status 1")
		}
		return answer, nil
	}
}
