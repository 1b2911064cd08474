package main

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed equivalent.txt
var equivalentText string

// equivalent maps the keys of mutants that change no behaviour to the reasons.
type equivalent map[string]string

// parseEquivalent reads the list. A line that starts at the margin is a
// mutant's key. The indented lines after one or more of them are the reason.
// Lines that start with # are comments.
func parseEquivalent(text string) (equivalent, error) {
	list := equivalent{}
	var keys []string
	reason := ""
	finish := func() error {
		for _, k := range keys {
			if reason == "" {
				return fmt.Errorf("equivalent.txt: %q has no reason; add an indented line that explains why no test can notice it", k)
			}
			if _, twice := list[k]; twice {
				return fmt.Errorf("equivalent.txt: %q is listed twice", k)
			}
			list[k] = reason
		}
		keys, reason = nil, ""
		return nil
	}
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(line, "#"):
		case strings.TrimLeft(line, " \t") != line:
			if len(keys) == 0 {
				return nil, fmt.Errorf("equivalent.txt: the reason %q belongs to no mutant", trimmed)
			}
			reason = strings.TrimSpace(reason + " " + trimmed)
		default:
			if reason != "" {
				if err := finish(); err != nil {
					return nil, err
				}
			}
			keys = append(keys, trimmed)
		}
	}
	return list, finish()
}

// stale returns what is wrong with the list, given the results of the subjects
// that ran. It reports entries without a mutant and entries that a test kills.
func (e equivalent) stale(subjects []subject, results []result) []string {
	var wrong []string
	found := map[string]outcome{}
	for _, r := range results {
		found[r.key()] = r.outcome
	}
	for key := range e {
		if !belongs(key, subjects) {
			continue
		}
		switch o, ok := found[key]; {
		case !ok || o == invalid:
			wrong = append(wrong, fmt.Sprintf("equivalent.txt: %q matches no mutant; correct or remove it", key))
		case o == killed || o == timedOut:
			wrong = append(wrong, fmt.Sprintf("equivalent.txt: a test notices %q, so it is not equivalent; remove it", key))
		}
	}
	return wrong
}

// belongs reports whether a key is about a file of one of the subjects.
func belongs(key string, subjects []subject) bool {
	file, _, _ := strings.Cut(strings.ReplaceAll(key, ":", " "), " ")
	for _, s := range subjects {
		if name, ok := strings.CutPrefix(file, s.dir+"/"); ok && !strings.Contains(name, "/") && s.has(name) {
			return true
		}
	}
	return false
}
