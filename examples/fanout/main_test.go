package main

import (
	"os"
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
)

const asProgram = "DEPLOYHOOK_TEST_AS_FANOUT"

// The test binary becomes the program if an environment variable says so.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		os.Exit(0)
	}
	leaktest.Main(m)
}
