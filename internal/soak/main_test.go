package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
)

// TestMain is also the main function of the processes that a soak starts, which
// are copies of the test's binary.
func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}
