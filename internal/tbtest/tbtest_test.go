package tbtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/tbtest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestFailures(t *testing.T) {
	t.Parallel()
	var order []string
	got := tbtest.Failures(t, func(t testing.TB) {
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() { order = append(order, "second") })
		if t.Failed() {
			t.Error("too early")
		}
		t.Errorf("%d of %d", 1, 2)
		if !t.Failed() {
			t.Error("too late")
		}
		t.Fatal("the ", "end")
		t.Error("after the end")
	})
	require.Equal(t, []string{"1 of 2", "the end"}, got)
	require.Equal(t, []string{"second", "first"}, order)
	require.Equal(t, []string{"no"}, tbtest.Failures(t, func(t testing.TB) { t.Fatalf("%s", "no") }))
	require.Empty(t, tbtest.Failures(t, func(t testing.TB) { t.Log("fine") }))
}
