package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

const modulePath = "github.com/deployhook/deployhook/examples/hooktool"

func versionCommand() command {
	return command{
		name:     "version",
		summary:  "print the version",
		about:    "Prints the version of hooktool, which the Go linker records.",
		examples: "hooktool version",
		setup: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(_ context.Context, c *call) error {
				info, _ := debug.ReadBuildInfo()
				version := moduleVersion(info)
				if c.json {
					c.printJSON(map[string]string{"kind": "version", "version": version, "go": runtime.Version()})
					return nil
				}
				fmt.Fprintf(c.stdout, "hooktool %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return nil
			}
		},
	}
}

// moduleVersion returns the version of this module. If a project lists this
// program as a tool in its go.mod, the main module is another one.
func moduleVersion(info *debug.BuildInfo) string {
	if info == nil {
		return "devel"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == modulePath && m.Version != "(devel)" {
			return cmp.Or(m.Version, "devel")
		}
	}
	return "devel"
}
