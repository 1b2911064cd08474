package servicetest

import (
	"os/exec"
	"syscall"
)

// DieWithParent makes the kernel send a signal to the command's process when
// its parent dies. The kernel watches the thread that starts the process. The
// caller must therefore lock its goroutine to that thread until the process has
// ended. Only Linux supports this. On other systems the process may outlive a
// killed parent.
func DieWithParent(cmd *exec.Cmd, sig syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = sig
}
