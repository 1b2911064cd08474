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

// Pause freezes a process with SIGSTOP. It returns errors.ErrUnsupported on a
// system without that signal.
func Pause(int) error { return errors.ErrUnsupported }

// Resume ends a [Pause].
func Resume(int) error { return errors.ErrUnsupported }

// runAs does nothing here, where no test runs as root.
func runAs(*exec.Cmd, account) {}
