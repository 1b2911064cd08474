package sqldb

import (
	"errors"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// HideDSN replaces the error of a driver that cannot parse its data source
// name. Such an error repeats the name, and a driver cannot find the password
// in a name that it cannot parse. database/sql passes the name to the driver
// only for the first connection, so every call can return such an error. The
// result wraps [ErrConfig] and not err. HideDSN returns any other error
// unchanged.
func HideDSN(err error) error {
	reason := ""
	if parsing, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		reason = parseReason(parsing)
	} else if _, ok := errors.AsType[*url.Error](err); ok {
		reason = "it is not a valid URL"
	} else {
		return err
	}
	return ConfigErrorf("the driver can't parse the data source name, which is not shown because it may contain a password (%s)", reason)
}

// parseReason returns the part of pgx's message that is the same for every data
// source name.
func parseReason(err *pgconn.ParseConfigError) string {
	const staticCause = "sslmode is invalid"
	cause := err.Unwrap()
	bare := *err
	bare.ConnString = ""
	text := strings.TrimPrefix(bare.Error(), "cannot parse ``: ")
	if cause != nil {
		text = strings.TrimSuffix(text, " ("+cause.Error()+")")
		if cause.Error() == staticCause {
			text += ", " + staticCause
		}
	}
	// Some messages quote a value of the name after a colon or a quote.
	if i := strings.IndexAny(text, `:"`); i >= 0 {
		text = text[:i]
	}
	return strings.TrimSpace(text)
}
