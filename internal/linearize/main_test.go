package linearize

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/internal/leaktest"
)

var full = flag.Int("linear.histories", 0, "histories of each store, subject and fault; 0 means a few")

// patience limits a step, such as a history. Only a hang takes longer.
const patience = 10 * time.Minute

// TestMain is also the main function of the processes that the tests kill.
func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // it would log each connection that a test cuts
	if text := os.Getenv(childEnv); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, "linearize:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Parallel(8)
	leaktest.Main(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
