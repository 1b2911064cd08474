//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// private returns an error unless only this user can access the file.
func private(info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return errors.New("belongs to another user, so it is not used")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return errors.New("can be used by other users, so it is not used")
	}
	return nil
}
