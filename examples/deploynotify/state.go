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

// maxState bounds the file of a state.
const maxState = 4 << 10

// state is what -start leaves for -finish.
type state struct {
	DeploymentID string    `json:"deployment_id"`
	StartedAt    time.Time `json:"started_at"`
}

// statePath is the same for the two steps of a job, and different for other
// jobs, services and environments. The steps of a job share the run's
// deployment ID, and without a CI system the work tree.
func (o *options) statePath(r *report) string {
	place := r.record.DeploymentID
	if place == "" {
		place, _ = os.Getwd()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{place, r.record.Service, r.record.Environment}, "\x00")))
	return filepath.Join(o.stateDir, "deploynotify-"+hex.EncodeToString(sum[:12])+".json")
}

// keepState is called when the report is complete, and before it is sent:
// -finish needs the state of a -start that was not delivered, too.
func (o *options) keepState(r *report) {
	if !o.start {
		return
	}
	if o.dryRun {
		r.note("-finish will not know of a dry run")
		return
	}
	if err := writeState(r.state, state{DeploymentID: r.record.DeploymentID, StartedAt: r.record.StartedAt}); err != nil {
		r.note("-finish will not know when it began: %v", err)
	}
}

// dropState removes the state that a delivered -finish has used.
func (o *options) dropState(r *report) {
	if !o.finish {
		return
	}
	if err := os.Remove(r.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.note("the state of -start stays behind: %v", err)
	}
}

// writeState makes a new file that only this user can read. The directory may
// be one that others write to, so whatever stands there under the name is
// removed and never followed.
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

// readState reads what writeState wrote. A file of another user, or one that
// others can use, may be forged.
func readState(path string) (state, error) {
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, errors.New("there was no -start in this job")
	}
	if err != nil {
		return state{}, err
	}
	notOurs := fmt.Errorf("%s is not what -start wrote", path)
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
