package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	govulncheck   = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	defaultVulnDB = "https://vuln.go.dev"
)

// vuln runs govulncheck in every module, each with the versions from its own
// go.mod. A database that cannot be reached is an error unless the caller
// allows it. A finding is always an error.
func (r *runner) vuln(ctx context.Context, db string, allowUnreachable bool) error {
	if err := reach(ctx, db); err != nil {
		if !allowUnreachable {
			return fmt.Errorf("the vulnerability database can't be reached, so nothing was checked: %w", err)
		}
		r.printf("SKIPPED the vulnerability check: the database can't be reached: %v", err)
		return nil
	}
	s, err := r.newSandbox(ctx, "HEAD")
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := s.run(ctx, s.tmp, "go", "install", govulncheck); err != nil {
		return err
	}
	// go.sum then contains the sums of this repository's modules.
	if _, err := s.tidyClone(ctx); err != nil {
		return err
	}
	var problems []error
	for _, m := range s.mods {
		if _, err := s.run(ctx, s.moduleDir(m.mod), s.path("bin", "govulncheck"), "-db", db, "./..."); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.dir, err))
			continue
		}
		r.printf("ok     %s", m.path)
	}
	return errors.Join(problems...)
}

// reach requests the index of a vulnerability database, at most three times.
func reach(ctx context.Context, db string) error {
	u, err := url.Parse(db)
	if err != nil {
		return err
	}
	u = u.JoinPath("index", "db.json")
	if u.Scheme == "file" {
		_, err := os.Stat(filepath.FromSlash(u.Path))
		return err
	}
	for wait := time.Second; ; wait *= 2 {
		err := ask(ctx, u.String())
		if err == nil || wait > 2*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func ask(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, resp.Status)
	}
	return nil
}
