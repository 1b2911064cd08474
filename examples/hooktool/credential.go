package main

import (
	"io"
	"os"
	"strings"

	"github.com/deployhook/deployhook/internal/hidden"
)

// The environment variables of credentials. Each has a second one with the
// ending _FILE, which names a file.
const (
	secretVariable   = "HOOKTOOL_SECRET"
	previousVariable = "HOOKTOOL_PREVIOUS_SECRET"
	tokenVariable    = "HOOKTOOL_API_TOKEN"
)

// maxCredential bounds the file of a credential. A larger file is the wrong
// one.
const maxCredential = 8 << 10

// credential is a secret text, which nothing prints, and the variable that it
// came from.
type credential struct {
	text   hidden.Value[string]
	source string
}

func newCredential(text, source string) credential { return credential{hidden.Of(text), source} }

func (c credential) reveal() string { return c.text.Reveal() }

func (c credential) given() bool { return c.reveal() != "" }

// credential reads a variable, or the file that its variable _FILE names.
func (c *call) credential(variable string) (credential, error) {
	value, path := c.getenv(variable), c.getenv(variable+"_FILE")
	switch {
	case path == "":
		return newCredential(value, variable), nil
	case value != "":
		return credential{}, usagef("both %s and %s_FILE are set; leave one out", variable, variable)
	}
	return credentialFile(path, variable+"_FILE")
}

// credentialFile reads a file, without one line end after the credential.
func credentialFile(path, source string) (credential, error) {
	// Opening a named pipe waits for a writer, which may never come.
	info, err := os.Stat(path)
	if err != nil {
		return credential{}, usagef("%s: %v", source, err)
	}
	if !info.Mode().IsRegular() {
		return credential{}, usagef("%s: want a regular file; set the variable to the output of a command instead", source)
	}
	file, err := os.Open(path)
	if err != nil {
		return credential{}, usagef("%s: %v", source, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxCredential+1))
	if err != nil || len(text) > maxCredential {
		return credential{}, usagef("%s: want a readable file of at most %d bytes", source, maxCredential)
	}
	trimmed := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if trimmed == "" {
		return credential{}, usagef("%s: the file is empty", source)
	}
	return newCredential(trimmed, source), nil
}
