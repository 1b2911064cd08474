//go:build linux && (amd64 || arm64)

package database

import "testing"

// TestKnownBugs puts known bugs back with -sim.bugs, and otherwise checks that
// they still apply.
func TestKnownBugs(t *testing.T) { flags.Bugs(t, "testdata/bugs") }
