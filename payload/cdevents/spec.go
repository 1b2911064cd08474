package cdevents

import (
	"strings"
)

// A spec describes the differences between versions of CDEvents that matter
// here.
type spec struct {
	minor string // "3" to "6"
	// named is true from 0.5 on. The version is then in context.specversion,
	// the subject has no type, and the links to runs are in uri instead of url.
	named bool
	// chained is true from 0.4 on. The context may then have chainId, links and
	// schemaUri.
	chained bool
}

const notKnown = "is not a supported version of CDEvents; use 0.3 to 0.6"

// specOf finds the version that a context names.
func specOf(specversion, version text, f *failures) (s spec, known bool) {
	path, name := "context.specversion", specversion
	if specversion == "" && version != "" {
		path, name = "context.version", version
	}
	f.require(path, string(name))
	rest, ok := strings.CutPrefix(string(name), "0.")
	minor, patch, _ := strings.Cut(rest, ".")
	if minor == "6" {
		patch = strings.TrimSuffix(patch, "-draft")
	}
	switch {
	case !ok || !isDigits(patch) || len(minor) != 1 || minor < "3" || minor > "6":
		f.add(path, notKnown)
		return s, false
	case minor >= "5" && path != "context.specversion":
		f.add("context.specversion", isRequired)
		f.add(path, notAMember(minor))
		return s, false
	case minor < "5" && path != "context.version":
		f.add("context.version", isRequired)
		f.add(path, notAMember(minor))
		return s, false
	}
	return spec{minor: minor, named: minor >= "5", chained: minor >= "4"}, true
}

// link returns the member that holds a run's link.
func (s spec) link() string {
	if s.named {
		return "uri"
	}
	return "url"
}

func notAMember(minor string) string {
	return "is not a member that CDEvents 0." + minor + " has here"
}

// subjectTypes maps the supported subjects to their names in versions before
// 0.5.
var subjectTypes = map[string]string{
	"pipelinerun": "pipelineRun", "taskrun": "taskRun", "testsuiterun": "testSuiteRun", "build": "build", "service": "service",
}

// check applies the rules that only some versions have.
func (s spec) check(e *Event, f *failures) {
	c, subject := &e.doc.Context, &e.doc.Subject
	only := func(allowed bool, path string, given bool) {
		if given && !allowed {
			f.add(path, notAMember(s.minor))
		}
	}
	only(s.chained, "context.chainId", c.ChainID != "")
	only(s.chained, "context.links", c.Links != nil)
	only(s.chained, "context.schemaUri", c.SchemaURI != "")
	only(!s.named, "context.version", c.Version != "")
	only(!s.named, "subject.type", subject.Type != "")
	if s.named {
		return
	}
	f.require("subject.type", string(subject.Type))
	kind, _, _ := strings.Cut(e.kind, ".")
	if want := subjectTypes[kind]; want != "" && string(subject.Type) != want {
		f.add("subject.type", "must be "+want+", as the event's type says")
	}
}

// unknownVersion replaces the error about an unknown member if the reason is an
// unsupported version.
func unknownVersion(body []byte, err error) error {
	var doc struct {
		Context struct {
			SpecVersion text `json:"specversion"`
			Version     text `json:"version"`
		} `json:"context"`
	}
	if read(body, &doc) != nil || doc.Context.SpecVersion == "" && doc.Context.Version == "" {
		return err
	}
	var f failures
	if _, known := specOf(doc.Context.SpecVersion, doc.Context.Version, &f); known {
		return err
	}
	return f.err()
}
