package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// state is what -start leaves for -finish.
type state struct {
	DeploymentID string    `json:"deployment_id"`
	StartedAt    time.Time `json:"started_at"`
}

// statePath is the same for the two steps of a job, and different for other jobs, services and environments: a job's
// steps share the run's deployment ID, and without a CI system the work tree.
func (o *options) statePath(r *report) string {
	place := r.record.DeploymentID
	if place == "" {
		place, _ = os.Getwd()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{place, r.record.Service, r.record.Environment}, "\x00")))
	return filepath.Join(o.stateDir, "deploynotify-"+hex.EncodeToString(sum[:12])+".json")
}

// writeState makes a new file that only this user can read. The directory may be one that others write to, so
// whatever stands there under the name is removed and never followed.
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

func readState(path string) (state, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, errors.New("nothing is known of a -start")
	}
	if err != nil {
		return state{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > 4<<10 {
		return state{}, fmt.Errorf("%s is not what -start wrote", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil || s.DeploymentID == "" || s.StartedAt.IsZero() {
		return state{}, fmt.Errorf("%s is not what -start wrote", path)
	}
	return s, nil
}
