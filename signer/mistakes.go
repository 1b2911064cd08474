package signer

import (
	"regexp"
	"strings"
)

// unexpanded matches a variable that was not expanded, in the syntax of shells,
// CI systems and templates. The plain forms take upper case only, because a
// random secret can begin with a dollar sign.
var unexpanded = regexp.MustCompile(`(?s)^\s*(\$\([^()]*\)|\$\{.*\}|\{\{.*\}\}|<%.*%>|\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%|\$env:\w+)\s*$`)

// checkQuoting refuses a text that has something around a secret or stands in
// place of one. No error contains the text, because a text that looks like a
// variable can still be a secret.
func checkQuoting(text string) error {
	switch {
	case text == "":
		return secretError("empty; is the environment variable set?")
	case unexpanded.MatchString(text):
		return secretError("looks like the name of a variable that nothing has expanded; is this the syntax of your shell or CI system, and is the variable defined there?")
	case strings.HasPrefix(text, "\ufeff"):
		return secretError("begins with a byte order mark; was it read from a file that an editor has saved with one?")
	case quoted(text):
		return secretError("has quotation marks around it; give the text between them")
	case strings.HasPrefix(text, versionHMAC+",") || strings.HasPrefix(text, versionEd25519+","):
		return secretError("begins with the version of a signature (v1 or v1a and a comma); give the secret that follows, if it is one and not a signature")
	}
	return nil
}

// marks are quotation marks that people and documents write around a text.
const marks = "\"'`\u201c\u201d\u2018\u2019"

// quoted reports whether a text stands between quotation marks, or is a
// prefixed secret with a mark at either end. A line end may follow the marks.
func quoted(text string) bool {
	trimmed := strings.TrimSpace(text)
	opened, closed := strings.TrimLeft(trimmed, marks), strings.TrimRight(trimmed, marks)
	if len(opened) < len(trimmed) && len(closed) < len(trimmed) {
		return true
	}
	for _, prefix := range [...]string{secretPrefix, signingPrefix, verifyingPrefix} {
		if strings.HasPrefix(opened, prefix) && (len(opened) < len(trimmed) || len(closed) < len(trimmed)) {
			return true
		}
	}
	return false
}
