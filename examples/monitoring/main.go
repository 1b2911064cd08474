// Monitoring writes a dashboard for Grafana and alerts for Prometheus into the
// current folder, see README.md. Its tests hold both against a service that
// runs.
//
//	go run github.com/deployhook/deployhook/examples/monitoring@latest
package main

import (
	"embed"
	"fmt"
	"os"
)

//go:embed dashboard.json alerts.yml
var files embed.FS

func main() {
	for _, name := range []string{"dashboard.json", "alerts.yml"} {
		if err := write(name); err != nil {
			fmt.Fprintln(os.Stderr, "monitoring:", err)
			os.Exit(1)
		}
		fmt.Println("wrote", name)
	}
}

// write writes a file, and keeps one that exists.
func write(name string) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		_ = f.Close() // the write has failed
		return err
	}
	return f.Close()
}
