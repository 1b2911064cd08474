package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxState bounds the size of a state file.
const maxState = 4 << 10

// state is stored by -start for -finish.
type state struct {
	DeploymentID string    `json:"deployment_id"`
	StartedAt    time.Time `json:"started_at"`
}

// statePath returns the same path for the two steps of a job, and another for
// other jobs, services and environments. The steps of a job share the run's
// deployment ID. Without a CI system they share the working directory.
func (o *options) statePath(r *report) string {
	place := r.record.DeploymentID
	if place == "" {
		place, _ = os.Getwd()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{place, r.record.Service, r.record.Environment}, "\x00")))
	return filepath.Join(o.stateDir, "deploynotify-"+hex.EncodeToString(sum[:12])+".json")
}

// saveState is called after the report is complete and before it is sent.
// -finish needs the state even if -start was not delivered.
func (o *options) saveState(r *report) {
	if !o.start {
		return
	}
	if o.dryRun {
		r.note("-finish does not see the start of a dry run")
		return
	}
	if err := writeState(r.state, state{DeploymentID: r.record.DeploymentID, StartedAt: r.record.StartedAt}); err != nil {
		r.note("-finish will not know the start time: %v", err)
	}
}

// removeState removes the state after -finish was delivered.
func (o *options) removeState(r *report) {
	if !o.finish {
		return
	}
	if err := os.Remove(r.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.note("the state file of -start was not removed: %v", err)
	}
}

// writeState creates a file that only this user can read. Others may write to
// the directory. An existing file or link is therefore removed and never
// followed.
func writeState(path string, s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// readState reads a file from writeState. It refuses a file of another user and
// one that others can access, because it may be forged.
func readState(path string) (state, error) {
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, errors.New("there was no -start in this job")
	}
	if err != nil {
		return state{}, err
	}
	notOurs := fmt.Errorf("%s was not written by -start", path)
	if !named.Mode().IsRegular() || named.Size() > maxState {
		return state{}, notOurs
	}
	f, err := os.Open(path)
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		return state{}, err
	}
	if !os.SameFile(named, opened) {
		return state{}, notOurs
	}
	if err := private(opened); err != nil {
		return state{}, fmt.Errorf("%s %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil || s.DeploymentID == "" || s.StartedAt.IsZero() {
		return state{}, notOurs
	}
	return s, nil
}
