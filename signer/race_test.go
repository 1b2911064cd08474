//go:build race

package signer_test

// The race detector makes sync.Pool drop values at random, so allocation counts
// mean nothing under it.
const raceEnabled = true
