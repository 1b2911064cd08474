package sender

import (
	"runtime/debug"
	"strings"
)

const modulePath = "github.com/deployhook/deployhook"

// userAgent is "deployhook/" and the version of this module that the program was built with; "devel" where the build does
// not say, as in this module's own tests.
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
