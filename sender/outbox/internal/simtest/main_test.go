package simtest

import (
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/simulation/sim"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var flags = sim.NewFlags(100)
