//go:build !linux

package servicetest

import (
	"os/exec"
	"syscall"
)

// DieWithParent does nothing here, since only Linux can tie a process to its
// parent. The process may outlive a parent that is killed.
func DieWithParent(*exec.Cmd, syscall.Signal) {}
