package model_test

import (
	"context"
	"flag"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// faults is the number of faults in a run of a model. Each further fault takes
// about ten times as long.
var faults = flag.Int("model.faults", 0, "check the models with this `number` of faults instead of their own")

// full is off by default, because it takes 45 seconds of processor time. The
// gate sets it.
var full = flag.Bool("model.full", false, "also check the formulas of the models, and their wrong variants")

// asserts is the property that no assertion fails and that nothing is stuck.
const asserts = ""

// TestModels checks every state of the models. Without -model.full it leaves
// the formulas out.
func TestModels(t *testing.T) {
	t.Parallel()
	for _, model := range []struct {
		name, file string
		macros     []string
		properties []string
	}{
		{"effect outside the transaction", "claim.pml", nil, []string{asserts, "once", "stays", "answered"}},
		{"effect in the transaction", "claim.pml", []string{"TX"}, []string{asserts, "once", "stays", "answered"}},
		{"delivery", "delivery.pml", nil, []string{asserts, "ends", "truthful"}},
	} {
		t.Run(model.name, func(t *testing.T) {
			t.Parallel()
			macros := model.macros
			if *faults > 0 {
				macros = append(macros, "FAULTS="+strconv.Itoa(*faults))
			}
			if !*full {
				checkStates(t, model.name, asserts, build(t, model.file, "-O0", macros, true))
				return
			}
			safety, claims := build(t, model.file, "-O2", macros, true), build(t, model.file, "-O2", macros, false)
			for _, property := range model.properties {
				built := claims
				if property == asserts {
					built = safety
				}
				checkStates(t, model.name, property, built)
			}
		})
	}
}

// checkStates requires that a property holds in all states of a model.
func checkStates(t *testing.T, name, property string, built checker) {
	t.Helper()
	began := time.Now()
	r := built.check(t, property)
	t.Logf("%s, property %q: %s states in %.1f s", name, property, r.states, time.Since(began).Seconds())
	require.Zero(t, r.errors, "%s", r.text)
	assert.NotContains(t, r.text, "max search depth too small")
	assert.NotContains(t, r.text, "Search not completed")
	if property == asserts {
		assert.Empty(t, unreached(r.text), "steps of the model that no run takes")
	}
}

// TestWrongVariantsAreFound checks that the models can fail. Each variant has a
// mistake that the code does not make.
func TestWrongVariantsAreFound(t *testing.T) {
	t.Parallel()
	if !*full {
		t.Skip("it compiles 17 checkers; the gate sets -model.full")
	}
	for _, variant := range []struct {
		file, property string
		macros         []string
	}{
		{"claim.pml", asserts, []string{"COMPLETE_WITHOUT_FENCE"}},
		{"claim.pml", asserts, []string{"COMPLETE_WITHOUT_FENCE", "TX"}},
		{"claim.pml", asserts, []string{"REMEMBER_BEFORE_HANDLE"}},
		{"claim.pml", asserts, []string{"RELEASE_WITHOUT_TOKEN"}},
		{"claim.pml", asserts, []string{"RENEW_WITHOUT_TOKEN"}},
		{"claim.pml", asserts, []string{"LEASE_OUTLIVES_CRASH"}},
		{"claim.pml", "once", []string{"CLAIM_IGNORES_LEASE"}},
		{"claim.pml", "once", []string{"EFFECT_OUTSIDE_TX", "TX"}},
		{"delivery.pml", asserts, []string{"PUBLISH_WITHOUT_ID"}},
		{"delivery.pml", asserts, []string{"ATTEMPT_WHEN_DISABLED"}},
		{"delivery.pml", asserts, []string{"ATTEMPT_WHEN_STALE"}},
		{"delivery.pml", asserts, []string{"CANCEL_WITHOUT_CHECK"}},
		{"delivery.pml", asserts, []string{"FAILURE_WITHOUT_JOB"}},
		{"delivery.pml", asserts, []string{"SUCCESS_WITH_JOB_ONLY"}},
		{"delivery.pml", asserts, []string{"NO_RESCUE"}},
		{"delivery.pml", asserts, []string{"RETRY_WITHOUT_JOB"}},
		{"delivery.pml", "truthful", []string{"RECORD_BEFORE_ATTEMPT"}},
	} {
		t.Run(strings.Join(variant.macros, ","), func(t *testing.T) {
			t.Parallel()
			r := build(t, variant.file, "-O0", variant.macros, variant.property == asserts).check(t, variant.property)
			require.NotZero(t, r.errors, "the checker does not find the mistake\n%s", r.text)
		})
	}
}

// result is what the checker found.
type result struct {
	errors int
	states string
	text   string
}

var summary = regexp.MustCompile(`errors: (\d+)\s+(\d+) states, stored`)

// checker is the program that Spin makes of a model.
type checker string

// build makes a checker for assertions alone, or for the formulas of a model.
func build(t *testing.T, model, optimize string, macros []string, safety bool) checker {
	t.Helper()
	spin, gcc := servicetest.Program(t, "spin"), servicetest.Program(t, "gcc")
	path, err := filepath.Abs(model)
	require.NoError(t, err)
	dir := t.TempDir()
	generate := []string{"-a"}
	for _, m := range macros {
		generate = append(generate, "-D"+m)
	}
	run(t, dir, spin, append(generate, path)...)
	compile := []string{"-w", optimize, "-DNFAIR=3", "-o", "pan", "pan.c"}
	if safety {
		compile = append(compile, "-DNOCLAIM", "-DSAFETY")
	}
	run(t, dir, gcc, compile...)
	return checker(filepath.Join(dir, "pan"))
}

// check tries all states. A formula must hold in each run in which every
// process gets its turn.
func (c checker) check(t *testing.T, property string) result {
	t.Helper()
	args := []string{"-m1000000"}
	if property != asserts {
		args = append(args, "-a", "-f", "-N", property)
	}
	text := run(t, filepath.Dir(string(c)), string(c), args...)
	found := summary.FindStringSubmatch(text)
	require.NotNil(t, found, text)
	errors, err := strconv.Atoi(found[1])
	require.NoError(t, err)
	return result{errors, found[2], text}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
	return string(out)
}

// unreached returns the steps of the model that the checker never took, apart
// from the ends of processes that do not end.
func unreached(text string) []string {
	var steps []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, ".pml:") && strings.Contains(line, ", state ") && !strings.Contains(line, `"-end-"`) {
			steps = append(steps, strings.TrimSpace(line))
		}
	}
	return steps
}
