package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

const modulePath = "github.com/deployhook/deployhook"

// toolVersion returns the line that -version prints. The Go linker records the
// version. It is the release's tag in a release's binary and with "go run …@V",
// and a pseudo-version in a build from a working tree.
func toolVersion() string {
	info, _ := debug.ReadBuildInfo()
	return fmt.Sprintf("deploynotify %s (%s, %s/%s)", moduleVersion(info), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// moduleVersion returns the version of this module. If a project lists this
// program as a tool in its go.mod, the main module is another one.
func moduleVersion(info *debug.BuildInfo) string {
	if info == nil {
		return "devel"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path != modulePath {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version != "(devel)" {
			return cmp.Or(m.Version, "devel")
		}
	}
	return "devel"
}
