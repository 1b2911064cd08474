package crashtest

import (
	"fmt"
	"os"
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
)

// TestMain is also the receiver's main function, because the tests run this
// binary again as the process that they kill.
func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		if err := runChild(config); err != nil {
			fmt.Fprintln(os.Stderr, "receiver process:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Parallel(8)
	leaktest.Main(m)
}
