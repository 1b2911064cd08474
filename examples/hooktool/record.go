package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// recordFormat names the format of a recorded request, and its version.
const recordFormat = "hooktool.request/1"

// maxRecord bounds a file that is read as a recorded request.
const maxRecord = 16 << 20

const redacted = "[redacted]"

// recorded is a request as it arrived. The README describes the JSON.
type recorded struct {
	Format     string      `json:"format"`
	ReceivedAt time.Time   `json:"received_at"`
	Method     string      `json:"method"`
	URL        string      `json:"url"` // path and query
	Host       string      `json:"host"`
	Header     http.Header `json:"header"`
	Body       *string     `json:"body,omitempty"`        // exact, if it is valid UTF-8
	BodyBase64 []byte      `json:"body_base64,omitempty"` // exact, otherwise

	file string
}

// newRecorded keeps a request. Unless keep is set, it redacts the headers that
// hold a credential.
func newRecorded(r *http.Request, body []byte, at time.Time, credentials []string, keep bool) recorded {
	rec := recorded{
		Format: recordFormat, ReceivedAt: at.UTC(), Method: r.Method, URL: r.URL.RequestURI(), Host: r.Host, Header: r.Header.Clone(),
	}
	rec.setBody(body)
	if keep {
		return rec
	}
	for name, values := range rec.Header {
		if slices.Contains(credentials, name) {
			for i := range values {
				values[i] = redacted
			}
		}
	}
	return rec
}

func (r *recorded) setBody(body []byte) {
	r.Body, r.BodyBase64 = nil, nil
	if utf8.Valid(body) {
		r.Body = new(string(body))
	} else {
		r.BodyBase64 = body
	}
}

// body returns the exact bytes.
func (r *recorded) body() []byte {
	if r.Body != nil {
		return []byte(*r.Body)
	}
	return r.BodyBase64
}

// request returns the request as a server would see it, without its body.
func (r *recorded) request() (*http.Request, error) {
	req, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL, nil)
	if err != nil {
		return nil, usagef("%s: method, host or url is invalid", r.file)
	}
	req.RequestURI = r.URL
	req.Header = r.Header.Clone()
	return req, nil
}

var unsafeInName = regexp.MustCompile(`[^a-z0-9_.]+`)

// write stores the record in a folder, under a name that sorts by time. Other
// programs never see a part of the file.
func (r *recorded) write(dir string, number int, kind string) (string, error) {
	kind = strings.Trim(unsafeInName.ReplaceAllString(strings.ToLower(cut(kind, 40)), "-"), "-.")
	name := fmt.Sprintf("%s-%04d", r.ReceivedAt.Format("20060102T150405.000Z"), number)
	if kind != "" {
		name += "-" + kind
	}
	path := filepath.Join(dir, name+".json")
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(dir, ".hooktool-*") // readable by its owner only
	if err != nil {
		return "", err
	}
	_, err = file.Write(text.Bytes())
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return path, nil
}

// readRecorded reads a file that listen has written. "-" is standard input.
func (c *call) readRecorded(ctx context.Context, path string) (*recorded, error) {
	text, err := c.readFile(ctx, path, maxRecord)
	if err != nil {
		return nil, err
	}
	r := &recorded{file: path}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, usagef("%s is not a recorded request: %v", path, err)
	}
	switch {
	case r.Format == "":
		return nil, usagef("%s is not a recorded request: it has no member format; for a plain body give -body", path)
	case r.Format != recordFormat:
		return nil, usagef("%s has the format %q; this version reads %s", path, cut(r.Format, 40), recordFormat)
	case r.Body != nil && r.BodyBase64 != nil:
		return nil, usagef("%s has both body and body_base64; remove one", path)
	}
	canonical := http.Header{}
	for name, values := range r.Header {
		canonical[http.CanonicalHeaderKey(name)] = append(canonical[http.CanonicalHeaderKey(name)], values...)
	}
	r.Header = canonical
	return r, nil
}

// readFile reads a file of limited size, or standard input. Both can wait for
// another process, so it returns when the context ends.
func (c *call) readFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	type read struct {
		text []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		text, err := c.readAll(path, limit)
		done <- read{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return nil, errInterrupted
	}
}

func (c *call) readAll(path string, limit int64) ([]byte, error) {
	in := c.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, usagef("%v", err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, usagef("%s: %v", path, err)
	}
	if int64(len(text)) > limit {
		return nil, usagef("%s has more than %d bytes", path, limit)
	}
	return text, nil
}

// readAllRecorded reads files, and those of folders in the order of their
// names.
func (c *call) readAllRecorded(ctx context.Context, paths []string) ([]*recorded, error) {
	var all []*recorded
	for _, path := range paths {
		files := []string{path}
		info, err := os.Stat(path)
		if path != "-" && err != nil {
			return nil, usagef("%v", err)
		}
		if path != "-" && info.IsDir() {
			if files, err = recordsIn(path); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			r, err := c.readRecorded(ctx, file)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

func recordsIn(dir string) ([]string, error) {
	files, err := fs.Glob(os.DirFS(dir), "*.json")
	if err != nil || len(files) == 0 {
		return nil, usagef("%s has no recorded requests (*.json)", dir)
	}
	for i, name := range files {
		files[i] = filepath.Join(dir, name)
	}
	slices.Sort(files)
	return files, nil
}
