package deployments

import (
	"encoding/binary"
	"errors"
	"time"
)

// runFormat is the first byte of an encoded run. A changed format needs another
// number.
const runFormat = 1

var errRunFormat = errors.New("deployments: not a run, or of another version")

// strings returns the text members in the order of the encoding.
func (r *Run) strings() [11]*string {
	return [11]*string{
		&r.DeploymentID, &r.Service, &r.Environment, &r.Commit, (*string)(&r.Status), &r.RepositoryURL, &r.Branch, &r.Version,
		&r.ArtifactDigest, &r.RollbackOf, &r.IncidentURL,
	}
}

func (r *Run) times() [4]*time.Time {
	return [4]*time.Time{&r.StartedAt, &r.LiveAt, &r.RolledBackAt, &r.EndedAt}
}

// MarshalBinary encodes the run for a ledger. Times are kept to the
// microsecond.
func (r *Run) MarshalBinary() ([]byte, error) {
	out := append(make([]byte, 0, 160), runFormat)
	for _, t := range r.times() {
		micros := int64(0)
		if !t.IsZero() {
			micros = t.UnixMicro() + 1 // 1970 is 1, because 0 stands for the zero time
		}
		out = binary.AppendVarint(out, micros)
	}
	add := func(s string) { out = append(binary.AppendUvarint(out, uint64(len(s))), s...) }
	for _, s := range r.strings() {
		add(*s)
	}
	out = binary.AppendUvarint(out, uint64(len(r.Commits)))
	for _, c := range r.Commits {
		add(c.RepositoryURL)
		add(c.Commit)
	}
	return out, nil
}

// UnmarshalBinary decodes the output of MarshalBinary. It keeps no reference to
// data.
func (r *Run) UnmarshalBinary(data []byte) error {
	if len(data) == 0 || data[0] != runFormat {
		return errRunFormat
	}
	*r = Run{}
	in := runReader{data: data[1:], text: string(data[1:])}
	for _, t := range r.times() {
		if micros := in.varint(); micros != 0 {
			*t = time.UnixMicro(micros - 1).UTC()
		}
	}
	for _, s := range r.strings() {
		*s = in.string()
	}
	for n := in.uvarint(); n > 0 && !in.broken; n-- {
		r.Commits = append(r.Commits, RepositoryCommit{RepositoryURL: in.string(), Commit: in.string()})
	}
	if in.broken || in.at != len(in.data) {
		return errRunFormat
	}
	return nil
}

// runReader takes all strings from one copy of the data.
type runReader struct {
	data   []byte
	text   string
	at     int
	broken bool
}

func (r *runReader) advance(n int) {
	if n <= 0 {
		r.broken = true
		return
	}
	r.at += n
}

func (r *runReader) varint() int64 {
	v, n := binary.Varint(r.data[r.at:])
	r.advance(n)
	return v
}

func (r *runReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data[r.at:])
	r.advance(n)
	return v
}

func (r *runReader) string() string {
	n := r.uvarint()
	if r.broken || n > uint64(len(r.text)-r.at) {
		r.broken = true
		return ""
	}
	s := r.text[r.at : r.at+int(n)]
	r.at += int(n)
	return s
}
