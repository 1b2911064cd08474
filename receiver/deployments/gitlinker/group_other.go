//go:build !unix

package gitlinker

import "os/exec"

// ownGroup does nothing where there are no process groups; the command itself is killed.
func ownGroup(*exec.Cmd) {}
