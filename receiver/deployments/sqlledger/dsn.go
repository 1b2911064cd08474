package sqlledger

import (
	"fmt"

	"github.com/deployhook/deployhook/internal/dsn"
)

// withoutDSN replaces the error of a driver that can't parse its data source name.
func withoutDSN(err error) error {
	if text, ok := dsn.Mistake(err); ok {
		return fmt.Errorf("%w: %s", ErrConfig, text)
	}
	return err
}
