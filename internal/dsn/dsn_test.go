package dsn_test

import (
	"database/sql"
	"errors"
	"io"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/dsn"
)

func TestMistake(t *testing.T) {
	t.Parallel()
	parsing := &url.Error{Op: "parse", URL: "postgres://user:hunter2@%zz/db", Err: url.EscapeError("%zz")}
	for name, test := range map[string]struct {
		err  error
		want string // the end of the text; none for errors that may be shown
	}{
		"none":                 {nil, ""},
		"another error":        {io.ErrUnexpectedEOF, ""},
		"no rows":              {sql.ErrNoRows, ""},
		"a URL":                {parsing, "no reason known"},
		"a wrapped URL":        {errors.Join(errors.New("failed to parse as URL"), parsing), "failed to parse as URL"},
		"keywords":             {errors.New("cannot parse `host=h password=hunter2 port=x`: invalid port (x)"), "invalid port"},
		"more than one":        {errors.New("cannot parse `hunter2`: sslmode is invalid; invalid connect_timeout"), "sslmode is invalid, invalid connect_timeout"},
		"a mistake of no kind": {errors.New("cannot parse `hunter2`: out of cheese"), "no reason known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, ok := dsn.Mistake(test.err)
			require.Equal(t, test.want != "", ok)
			if !ok {
				require.Empty(t, text)
				return
			}
			require.NotContains(t, text, "hunter2")
			require.Regexp(t, ": "+test.want+"$", text)
		})
	}
}
