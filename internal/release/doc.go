// Release checks that the modules of this repository can be published, and
// prepares a release.
//
//	go run ./internal/release check            # what an outside user gets from HEAD
//	go run ./internal/release tidy             # go mod tidy for every module
//	go run ./internal/release vuln             # govulncheck for every module
//	go run ./internal/release prepare v0.2.0   # set the version, tidy, check, print the tags
//	go run ./internal/release tags             # the tags of the tree's version, in order
//	go run ./internal/release api              # API changes since the last tag
//	go run ./internal/release licenses         # the table of the dependencies' licenses
//
// The modules require each other at the next version, which is not published
// yet. In the workspace go.work maps it to the tree. Commands that ignore
// go.work, such as go mod tidy, run against a module proxy in a temporary
// folder that holds every module at that version.
package main
