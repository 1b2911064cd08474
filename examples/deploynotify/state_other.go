//go:build !unix

package main

import "io/fs"

// private accepts every file. The mode says nothing here, and the temporary
// directory is the user's own.
func private(fs.FileInfo) error { return nil }
