package main

import (
	"io"
	"os"
	"strings"
)

// maxCredential bounds the file of a credential. A larger file is the wrong
// one.
const maxCredential = 8 << 10

func (o *options) readCredentials(s system) (err error) {
	if o.secret, err = credential(s, "SECRET"); err != nil {
		return err
	}
	o.apiKey, err = credential(s, "API_KEY")
	return err
}

// credential reads DEPLOYHOOK_name, or the file that DEPLOYHOOK_name_FILE
// names. It removes one line end after the credential.
func credential(s system, name string) (string, error) {
	value, path := s.getenv(envPrefix+name), s.getenv(envPrefix+name+"_FILE")
	if path == "" {
		return value, nil
	}
	if value != "" {
		return "", usagef("both %s%s and %s%s_FILE are set; leave one out", envPrefix, name, envPrefix, name)
	}
	// Opening a named pipe waits for a writer, which may never come.
	info, err := os.Stat(path)
	if err != nil {
		return "", usagef("%s%s_FILE: %v", envPrefix, name, err)
	}
	if !info.Mode().IsRegular() {
		return "", usagef("%s%s_FILE: want a regular file; for the output of a command set %s%s", envPrefix, name, envPrefix, name)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", usagef("%s%s_FILE: %v", envPrefix, name, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxCredential+1))
	if err != nil || len(text) > maxCredential {
		return "", usagef("%s%s_FILE: want a readable file of at most %d bytes", envPrefix, name, maxCredential)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}
