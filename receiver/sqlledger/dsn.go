package sqlledger

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// dsnMistakes are what pgx says of a data source name, without a piece of it.
var dsnMistakes = [...]string{
	"failed to parse as URL", "failed to parse as keyword/value", "failed to configure TLS", "sslmode is invalid", "failed to read service",
	"invalid port", "port numbers to", "invalid connect_timeout", "invalid sslcertmode", "unknown target_session_attrs value",
	"invalid min_protocol_version", "invalid max_protocol_version", "min_protocol_version cannot be greater", "unknown channel_binding value",
	"invalid require_auth", "cannot parse statement_cache_capacity", "cannot parse description_cache_capacity", "invalid default_query_exec_mode",
}

// withoutDSN replaces the error of a driver that can't parse its data source name. Such an error repeats the name, and drivers
// don't find every password in one that they can't parse. database/sql only gives it to the driver for the first connection.
func withoutDSN(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	var parsing *url.Error
	if !strings.Contains(text, "cannot parse `") && !errors.As(err, &parsing) {
		return err
	}
	var found []string
	for _, mistake := range dsnMistakes {
		if strings.Contains(text, mistake) {
			found = append(found, mistake)
		}
	}
	if found == nil {
		found = []string{"no reason known"}
	}
	return fmt.Errorf("%w: the driver can't parse the data source name, which is not shown because a password may be in it: %s", ErrConfig, strings.Join(found, ", "))
}
