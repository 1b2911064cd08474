//go:build race

package outbox_test

// underRace: the race detector makes SQLite, which is C turned into Go, some
// twenty times slower.
const underRace = true
