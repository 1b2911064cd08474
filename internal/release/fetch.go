package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// fetchTags tags the clone and makes the go command fetch every module from it
// with its own git code, as a module proxy does. The sums must equal those of
// the packed modules.
func (s *sandbox) fetchTags(ctx context.Context) error {
	empty := s.path("fetch")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		return err
	}
	args := []string{"mod", "download", "-json"}
	for _, m := range s.mods {
		if _, err := git(ctx, s.dir, nil, "tag", m.tag(s.version)); err != nil {
			return err
		}
		args = append(args, m.path+"@"+s.version)
	}
	env := []string{
		"GOMODCACHE=" + s.path("fetched"), "GONOPROXY=" + s.root,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url." + fileURL(s.dir) + ".insteadOf", "GIT_CONFIG_VALUE_0=https://" + s.root,
	}
	out, err := s.runEnv(ctx, env, empty, "go", args...)
	if err != nil {
		return err
	}
	fetched := map[string]string{}
	decoder := json.NewDecoder(strings.NewReader(out))
	for {
		var m struct{ Path, Version, Sum, Error string }
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("go mod download: %w\n%s", err, out)
		}
		fetched[m.Path] = m.Sum
	}
	var problems []error
	for _, m := range s.mods {
		if fetched[m.path] != m.hash {
			problems = append(problems, fmt.Errorf("%s: the tag's zip has the sum %s, the packed one %s", m.path, fetched[m.path], m.hash))
		}
	}
	return errors.Join(problems...)
}
