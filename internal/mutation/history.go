package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// history remembers results, those of earlier runs too. A result of the same
// binary counts. If the code or its tests have changed, a result only tells
// which test to try first.
type history struct {
	subject string
	sum     string // of the binary and the choice of tests

	mu    sync.Mutex
	file  *os.File                  // nil without a file
	known map[string]record         // by key, of the same binary
	last  map[string]string         // the test that noticed a mutant, by its key
	count map[string]map[string]int // how often a test noticed a mutant, by function and test
}

// record is a line of the file.
type record struct {
	Subject string  `json:"subject"`
	Sum     string  `json:"sum"`
	Key     string  `json:"key"`
	Outcome outcome `json:"outcome"`
	By      string  `json:"by,omitempty"`
}

// openHistory reads the file, if there is one, and opens it for more results.
func openHistory(path string, s subject, binary string) (*history, error) {
	h := &history{subject: s.name, known: map[string]record{}, last: map[string]string{}, count: map[string]map[string]int{}}
	if path == "" {
		return h, nil
	}
	var err error
	if h.sum, err = sumOf(s, binary); err != nil {
		return nil, err
	}
	if err := h.read(path); err != nil {
		return nil, fmt.Errorf("-resume %s: %w", path, err)
	}
	if h.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("-resume: %w", err)
	}
	_, err = h.file.WriteString("\n") // the last line of an interrupted run may be cut
	return h, err
}

// sumOf identifies a test binary and the tests that are chosen.
func sumOf(s subject, binary string) (string, error) {
	file, err := os.Open(binary)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%q %q ", s.run, s.skip) // a hash takes everything
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}

func (h *history) read(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) != nil || r.Subject != h.subject {
			continue
		}
		h.remember(r, functionOf(r.Key))
	}
	return lines.Err()
}

// functionOf returns the part of a key before the change.
func functionOf(key string) string {
	where, _, _ := strings.Cut(key, ": ")
	return where
}

func (h *history) remember(r record, function string) {
	if r.Sum == h.sum {
		h.known[r.Key] = r
	}
	test, _, _ := strings.Cut(r.By, "/")
	if test == "" {
		delete(h.last, r.Key)
		return
	}
	h.last[r.Key] = test
	if h.count[function] == nil {
		h.count[function] = map[string]int{}
	}
	h.count[function][test]++
}

// add remembers a result, and writes it to the file.
func (h *history) add(r result) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := record{Subject: h.subject, Sum: h.sum, Key: r.key(), Outcome: r.outcome, By: r.by}
	h.remember(line, functionOf(line.Key))
	if h.file == nil {
		return nil
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = h.file.Write(append(text, '\n'))
	return err
}

// result returns the result of a mutant from an interrupted run.
func (h *history) result(m *mutant) (result, bool) {
	if h.file == nil {
		return result{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.known[m.key()]
	return result{mutant: m, outcome: r.Outcome, by: r.By}, ok
}

// best returns the test that is most likely to notice a mutant. It is the test
// that noticed it the last time, or the one that noticed most mutants of the
// function.
func (h *history) best(m *mutant) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if test := h.last[m.key()]; test != "" {
		return test
	}
	best, most := "", 0
	of := h.count[functionOf(m.key())]
	for _, test := range slices.Sorted(maps.Keys(of)) {
		if of[test] > most {
			best, most = test, of[test]
		}
	}
	return best
}

// order returns the numbers of the mutants. Those without an earlier test that
// noticed them come first, because they are the ones to look at. Those that
// need a separate build come last.
func (h *history) order(mutants []*mutant) []int {
	var first, later, built []int
	for i, m := range mutants {
		switch {
		case m.alone():
			built = append(built, i)
		case h.last[m.key()] == "":
			first = append(first, i)
		default:
			later = append(later, i)
		}
	}
	return slices.Concat(first, later, built)
}

func (h *history) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}
