package sender

import (
	"runtime/debug"
	"strings"
)

const modulePath = "github.com/deployhook/deployhook"

// userAgent is "deployhook/" and this module's version in the program. The
// version is "devel" if the build does not record one, as in this module's
// tests.
func userAgent() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == modulePath && m.Version != "" && m.Version != "(devel)" {
				version = strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "deployhook/" + version
}
