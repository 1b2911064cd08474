package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

var soakFor = flag.Duration("soak.for", 0, "how long TestSoak publishes; 0 skips it and TestSoak_NoticesViolation; the gate has 6s")

func needTime(t *testing.T) {
	t.Helper()
	if *soakFor == 0 {
		t.Skip("without -soak.for")
	}
}

// soak runs the command. Its output is in the test's log if the test fails.
func soak(t *testing.T, args ...string) (code int, s summary, dir string) {
	t.Helper()
	dir = t.TempDir()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"-json", "-out", dir, "-every", "500ms", "-rescue-now"}, args...), &stdout, &stderr)
	t.Log(stderr.String())
	require.NotEqual(t, 2, code, "the flags are right")
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &s))
	return code, s, dir
}

func TestSoak(t *testing.T) {
	needTime(t)
	t.Parallel()
	code, s, dir := soak(t, "-store", "sqlite", "-for", soakFor.String(), "-fault-every", "500ms", "-seed", "3")
	require.Len(t, s.Stores, 1)
	r := s.Stores[0]
	assert.Empty(t, r.Violations)
	assert.Zero(t, code)
	assert.Equal(t, uint64(3), s.Seed)
	assert.NotZero(t, r.Acknowledged)
	assert.GreaterOrEqual(t, r.Delivered, r.Acknowledged, "each event has at least one subscriber")
	assert.NotEmpty(t, r.Faults)
	for _, name := range []string{"index.html", "sqlite.csv", "sqlite.svg", "sqlite-sender-steady.log"} {
		assert.FileExists(t, filepath.Join(dir, name))
	}
}

// A receiver that loses or repeats an event is noticed.
func TestSoak_NoticesViolation(t *testing.T) {
	needTime(t)
	t.Parallel()
	for name, test := range map[string]struct {
		store, broken, want string
	}{
		"Lost":              {"sqlite", breakDrop, "never got"},
		"Doubled":           {"sqlite", breakTwice, "took effect 2 times"},
		"LostDirectly":      {"redis", breakDrop, "never got"},
		"DoubledUnderClaim": {"redis", breakTwice, "twice under one claim"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.store == onRedis {
				servicetest.Program(t, "redis-server")
			}
			code, s, _ := soak(t, "-store", test.store, "-break", test.broken, "-for", "3s", "-rate", "40", "-faults", "net-reset")
			assert.Equal(t, 1, code)
			require.NotEmpty(t, s.Stores[0].Violations)
			assert.Contains(t, strings.Join(s.Stores[0].Violations, "\n"), test.want)
		})
	}
}

func TestSoak_Flags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-store oracle": `"oracle" is not one of sqlite, postgres, redis, or all`,
		"-faults flood": `"flood" is not one of kill-sender`,
		"-for 0s":       "must be more than 0",
		"-break it":     "want drop, twice or leak",
		"-rate 0":       "-rate must be",
		"20m":           "all settings are flags",
	} {
		var stderr bytes.Buffer
		assert.Equal(t, 2, run(t.Context(), strings.Fields(args), &bytes.Buffer{}, &stderr), args)
		assert.Contains(t, stderr.String(), want)
	}
}

// The trend of a series does not depend on peaks, and shows a slow growth.
func TestTrend(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var level, leak series
	for i := range 240 {
		at := time.Unix(0, 0).Add(time.Duration(i) * 5 * time.Second)
		value := 10e6 + random.Float64()*1e6
		if i%50 == 49 {
			value += 50e6
		}
		level.add(at, value)
		leak.add(at, value+at.Sub(time.Unix(0, 0)).Minutes()*300e3)
	}
	assert.InDelta(t, 0, level.slope(), 10e3)
	assert.InDelta(t, 300e3, leak.slope(), 10e3)
	assert.InDelta(t, 20, leak.span().Minutes(), 0.1)
}

// A process may do more while it drains, but not at the end.
func TestSeries_OutgrownAtTheEnd(t *testing.T) {
	t.Parallel()
	levels := func(span time.Duration, last float64) *series {
		var s series
		for i := range 60 {
			value := 125.0
			if i >= 40 {
				value = 274
			}
			s.add(time.Unix(0, 0).Add(time.Duration(i)*span/60), value)
		}
		s.add(time.Unix(0, 0).Add(span), last)
		return &s
	}
	for name, test := range map[string]struct {
		values *series
		grown  bool
	}{
		"low again":   {levels(10*time.Minute, 130), false},
		"still high":  {levels(10*time.Minute, 274), true},
		"a short run": {levels(time.Minute, 274), false},
		"no values":   {&series{}, false},
	} {
		first, last, grown := test.values.outgrown()
		assert.Equal(t, test.grown, grown, "%s: %v to %v", name, first, last)
	}
}

// A wait that was long enough has passed, even if the context has also ended.
func TestPasses_AfterContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.False(t, passes(ctx, time.Hour))
	assert.True(t, passes(ctx, 0))
	assert.True(t, passes(t.Context(), time.Millisecond))
}
