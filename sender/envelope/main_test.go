package envelope_test

import (
	"flag"
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { leaktest.Main(m) }
