package deployments

import (
	"errors"
	"fmt"
)

// ErrConfig is wrapped by every error of this package's constructors. The text
// names the option at fault.
var ErrConfig = errors.New("deployments: invalid configuration")

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}
