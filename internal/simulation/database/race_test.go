//go:build linux && (amd64 || arm64) && race

package database

// seeds are few, since the race detector makes SQLite many times slower.
const seeds = 1
