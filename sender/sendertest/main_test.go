package sendertest_test

import (
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
