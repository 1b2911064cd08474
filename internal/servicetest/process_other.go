//go:build !unix

package servicetest

import (
	"errors"
	"os"
	"os/exec"
)

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

func pause(int) error  { return errors.ErrUnsupported }
func resume(int) error { return errors.ErrUnsupported }

// runAs does nothing here, where no test runs as root.
func runAs(*exec.Cmd, account) {}
