//go:build linux && (amd64 || arm64) && !race

package database

// seeds is how many seeds run by default.
const seeds = 2
