package main

import (
	"flag"
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
)

var endpoints = flag.Int("monitoring.endpoints", 1000, "number of endpoints in the test of cardinality")

func TestMain(m *testing.M) { leaktest.Main(m) }
