package outbox_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox"
)

// Every app is on one page, whatever its name is.
func TestApps_Pages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		names := []string{"a/b", "a b", "ä", "a", "Z"}
		for i := range 5 {
			names = append(names, fmt.Sprintf("app-%d", i))
		}
		for _, name := range names {
			require.NoError(t, o.RegisterApp(t.Context(), name))
		}
		var found []string
		for p := (outbox.Page{Limit: 3}); ; {
			page, err := o.Apps(t.Context(), p)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page.Items), 3)
			found = append(found, page.Items...)
			if p.Cursor = page.Next; p.Cursor == "" {
				break
			}
		}
		require.Len(t, slices.Compact(slices.Clone(found)), len(names))
		require.ElementsMatch(t, names, found)
		for _, cursor := range []string{"?", "AA", "_w"} {
			_, err := o.Apps(t.Context(), outbox.Page{Cursor: cursor})
			require.ErrorIs(t, err, outbox.ErrInvalid, cursor)
		}
		_, err := o.Apps(t.Context(), outbox.Page{Limit: -1})
		require.ErrorIs(t, err, outbox.ErrInvalid)
	})
}
