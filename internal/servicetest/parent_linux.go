package servicetest

import (
	"os/exec"
	"syscall"
)

// DieWithParent has the kernel send the command's process a signal when its
// parent dies.
// The kernel watches the thread that starts the process, so the caller locks
// its goroutine to that thread until the process has ended. Systems other than
// Linux can't do this, and there the process may outlive a parent that is killed.
func DieWithParent(cmd *exec.Cmd, sig syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = sig
}
