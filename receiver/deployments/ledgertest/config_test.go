package ledgertest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfig_Errors(t *testing.T) {
	t.Parallel()
	makes := func(testing.TB) Ledger { return nil }
	for want, c := range map[string]Config{
		"Config.New is nil": {},
		"Copies: -1":        {New: makes, Copies: -1},
		"Copies: 39":        {New: makes, Copies: 39},
	} {
		_, err := c.withDefaults(false)
		require.ErrorContains(t, err, want)
	}
}

func TestConfig_DefaultSizes(t *testing.T) {
	t.Parallel()
	for short, want := range map[bool]int{false: 1000, true: 100} {
		c, err := Config{New: func(testing.TB) Ledger { return nil }}.withDefaults(short)
		require.NoError(t, err)
		require.Equal(t, want, c.Copies)
		require.NotNil(t, c.Other)
	}
}
