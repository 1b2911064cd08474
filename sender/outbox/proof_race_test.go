//go:build race

package outbox_test

// underRace is true under the race detector, which makes SQLite about twenty
// times slower, because SQLite is C translated to Go.
const underRace = true
