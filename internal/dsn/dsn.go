// Package dsn keeps data source names, which have passwords in them, out of errors.
package dsn

import (
	"errors"
	"net/url"
	"strings"
)

// mistakes are what pgx says of a data source name, without a piece of it.
var mistakes = [...]string{
	"failed to parse as URL", "failed to parse as keyword/value", "failed to configure TLS", "sslmode is invalid", "failed to read service",
	"invalid port", "port numbers to", "invalid connect_timeout", "invalid sslcertmode", "unknown target_session_attrs value",
	"invalid min_protocol_version", "invalid max_protocol_version", "min_protocol_version cannot be greater", "unknown channel_binding value",
	"invalid require_auth", "cannot parse statement_cache_capacity", "cannot parse description_cache_capacity", "invalid default_query_exec_mode",
}

// Mistake says what is wrong with a data source name if err is a driver's, that it can't parse it: such an error repeats the
// name, and drivers don't find every password in one that they can't parse. database/sql only gives it to the driver for the
// first connection. The text is safe to show; err then must not be wrapped.
func Mistake(err error) (text string, ok bool) {
	if err == nil {
		return "", false
	}
	full := err.Error()
	var parsing *url.Error
	if !strings.Contains(full, "cannot parse `") && !errors.As(err, &parsing) {
		return "", false
	}
	var found []string
	for _, mistake := range mistakes {
		if strings.Contains(full, mistake) {
			found = append(found, mistake)
		}
	}
	if found == nil {
		found = []string{"no reason known"}
	}
	return "the driver can't parse the data source name, which is not shown because a password may be in it: " + strings.Join(found, ", "), true
}
