//go:build !unix

package linearize

import (
	"errors"
	"os"
	"time"
)

// now returns the time in nanoseconds on a clock that all processes of the
// machine share. A step of this clock during a test makes the test fail.
func now() int64 { return time.Now().UnixNano() }

// freeze fails, because no process can be stopped here.
func freeze(*os.Process) error { return errors.ErrUnsupported }

func thaw(*os.Process) error { return errors.ErrUnsupported }
