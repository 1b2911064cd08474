//go:build !linux

package engine

import (
	"os"
	"os/exec"
)

// isolate does nothing here: only Linux can tie a child's life to the platform's. Elsewhere a platform that is killed by SIGKILL
// leaves its instances behind; one that is stopped does not.
func isolate(*exec.Cmd) {}

func killGroup(p *os.Process, atOnce bool) error {
	if atOnce {
		return p.Kill()
	}
	return p.Signal(os.Interrupt)
}
