//go:build !linux

package servicetest

import (
	"os/exec"
	"syscall"
)

// DieWithParent does nothing here, because only Linux can tie a process to its
// parent. The process may outlive a killed parent.
func DieWithParent(*exec.Cmd, syscall.Signal) {}
