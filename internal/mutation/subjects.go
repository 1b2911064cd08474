package main

import "path/filepath"

// subject is a part of the repository whose tests are tested.
type subject struct {
	name string
	dir  string // of the package, below the workspace's root
	// files are the mutated files of the package. If it is empty, all are.
	files []string
	// run and skip choose the tests, like the flags of go test. If run is empty,
	// all tests run.
	run, skip string
}

// subjects are the parts where a mistake lets an attacker in or loses an event,
// and that are small enough to try every mutant.
func subjects() []subject {
	return []subject{
		{name: "signer", dir: "signer", skip: "Python|Node|OpenSSL|Generator|Interop"},
		{name: "dedupe", dir: "dedupe", skip: "TestMemoryOfAKey"},
		{
			name: "guard", dir: "sender",
			files: []string{"guard.go", "nat64.go", "check.go", "urls.go"},
		},
		{
			name: "sealing", dir: "sender/outbox",
			files: []string{"seal.go", "rotate.go"},
			run:   "Seal|TestOpen_|KeysAreChecked|KeysOfOneRing|RightKey|StaysWithItsApp|Rotat",
		},
	}
}

// has reports whether the subject includes a file of its package.
func (s subject) has(name string) bool {
	if len(s.files) == 0 {
		return true
	}
	for _, f := range s.files {
		if f == filepath.Base(name) {
			return true
		}
	}
	return false
}
