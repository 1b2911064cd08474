package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

const modulePath = "github.com/deployhook/deployhook"

// toolVersion is the line that -version prints. The linker records the
// version: the release's tag in a release's binary and with "go run …@V", a
// pseudo-version in a build from a work tree.
func toolVersion() string {
	info, _ := debug.ReadBuildInfo()
	return fmt.Sprintf("deploynotify %s (%s, %s/%s)", moduleVersion(info), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// moduleVersion finds the version of this module. The main module is another
// one where a project lists this program among its tools in go.mod.
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
