package main

import (
	"cmp"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// pairsFlag keeps each use of -metadata unchanged.
type pairsFlag []string

func (p *pairsFlag) String() string { return strings.Join(*p, ",") }

func (p *pairsFlag) Set(text string) error {
	*p = append(*p, text)
	return nil
}

// anotherPair matches the beginning of a pair after a comma. Other text after a
// comma belongs to the value before it.
var anotherPair = regexp.MustCompile(`^[\w.-]+=`)

// pairs returns the name=value texts.
//
//	-metadata used once            a list of pairs with commas between them
//	-metadata repeated             one pair each, commas are text
//	DEPLOYHOOK_METADATA, one line  a list of pairs with commas between them
//	more lines                     one pair each, commas are text
func (o *options) pairs() (out []string) {
	given := []string(o.metadata)
	if len(given) == 1 && o.fromEnv["metadata"] {
		given = strings.Split(given[0], "\n")
	}
	for i := range given {
		if given[i] = strings.TrimSpace(given[i]); given[i] != "" {
			out = append(out, given[i])
		}
	}
	if len(given) > 1 || len(out) == 0 {
		return out
	}
	list := strings.Split(out[0], ",")
	out = out[:0]
	for _, raw := range list {
		switch item := strings.TrimSpace(raw); {
		case item == "":
		case len(out) == 0 || anotherPair.MatchString(item):
			out = append(out, item)
		default:
			out[len(out)-1] += "," + raw
		}
	}
	return out
}

// setMetadata sets the pairs of -metadata. Numbers and booleans keep their
// type.
func (o *options) setMetadata(m *payload.Metadata) error {
	for _, item := range o.pairs() {
		name, text, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return usagef("%s %q: want name=value", o.source("metadata"), item)
		}
		var value any = text
		if number, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(number, 10) == text {
			value = number
		} else if text == "true" || text == "false" {
			value = text == "true"
		}
		if err := m.Set(name, value); err != nil {
			return usagef("%s %.40q: %v", o.source("metadata"), name, cmp.Or(errors.Unwrap(err), err))
		}
	}
	return nil
}
