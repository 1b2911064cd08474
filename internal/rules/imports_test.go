package rules

import (
	"go/parser"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/deployhook/deployhook/"

// allowed says which of our packages the code below a folder may import: those
// below the folders listed. A folder always includes the folders below it. The
// longest folder that fits a package decides.
//
// The lists only go down, from what is built on others to what stands alone, so
// no import can run up, and receiver and sender never meet.
var allowed = map[string][]string{
	"payload":  {"payload", "signer", "internal"},
	"signer":   {"signer", "internal"},
	"dedupe":   {"dedupe", "internal"},
	"receiver": {"receiver", "payload", "signer", "dedupe", "internal"},
	"sender":   {"sender", "payload", "signer", "internal"},
	"internal": {"internal"},
	// events and records for both kits and for demos
	"internal/samples": {"payload", "internal"},
	// a program that runs both ends
	"internal/soak": {"receiver", "sender", "payload", "signer", "dedupe", "internal"},
	"examples":      {"examples", "receiver", "sender", "payload", "signer", "dedupe", "internal"},
}

// alone are packages that import nothing of this repository, so importing one
// brings nothing else.
var alone = []string{"payload", "signer", "dedupe"}

// Tests and helpers for tests may import more: a receiver is tested with what a
// sender sends.
func isForTests(file string) bool {
	dir := path.Dir(file)
	return strings.HasSuffix(file, "_test.go") || strings.HasSuffix(dir, "test")
}

// isTested reports whether the rules are for a file. Kits that users import,
// such as receiver/receivertest, are no exception, because a service's tests
// should not bring in the other end.
func isTested(file string) bool {
	return !isForTests(file) || !strings.HasSuffix(file, "_test.go") && !strings.Contains("/"+file, "/internal/")
}

// violation says what is wrong with an import of a file, or "".
func violation(file, imported string) string {
	dir := path.Dir(file)
	for _, name := range alone {
		if dir == name {
			return name + " imports nothing of ours"
		}
	}
	longest := ""
	for folder := range allowed {
		if below(dir, folder) && len(folder) > len(longest) {
			longest = folder
		}
	}
	for _, folder := range allowed[longest] {
		if below(imported, folder) {
			return ""
		}
	}
	return longest + " may import " + strings.Join(allowed[longest], ", ")
}

func below(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	eachFile(t, parser.ImportsOnly, func(f *file) {
		if !isTested(f.name) {
			return
		}
		for _, spec := range f.syntax.Imports {
			text, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			if imported, ours := strings.CutPrefix(text, module); ours {
				if wrong := violation(f.name, imported); wrong != "" {
					t.Errorf("%s imports %s: %s", f.name, imported, wrong)
				}
			}
		}
	})
}

func TestKitsAreTested(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]bool{
		"receiver/receivertest/store.go": true, "dedupe/dedupetest/suite.go": true, "sender/send.go": true,
		"receiver/receivertest/store_test.go": false, "internal/sourcetest/sourcetest.go": false, "sender/internal/formattest/golden.go": false,
	} {
		require.Equal(t, want, isTested(file), file)
	}
}

// The rules refuse what they are for.
func TestViolations(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		file, imported string
		allowed        bool
	}{
		{"payload/event.go", "signer", false},
		{"signer/standard.go", "internal/hidden", false},
		{"dedupe/memory.go", "payload", false},
		{"payload/github/github.go", "receiver", false},
		{"payload/github/github.go", "dedupe", false},
		{"payload/github/github.go", "signer", true},
		{"receiver/serve.go", "sender", false},
		{"receiver/inbox/inbox.go", "sender/outbox", false},
		{"sender/send.go", "receiver", false},
		{"sender/outbox/outbox.go", "dedupe", false},
		{"sender/outbox/outbox.go", "internal/jobdb", true},
		{"receiver/deployments/endpoint.go", "receiver", true},
		{"internal/jobdb/db.go", "internal/sqldb", true},
		{"internal/jobdb/db.go", "payload", false},
		{"internal/samples/samples.go", "payload", true},
		{"internal/samples/samples.go", "receiver", false},
		{"internal/soak/world.go", "sender/outbox", true},
		{"internal/soak/world.go", "examples/platform", false},
		{"sender/send.go", "examples/platform", false},
		{"examples/receiver/main.go", "sender", true},
		{"receiver/receivertest/store.go", "sender/sendertest", false},
		{"sender/sendertest/network.go", "receiver", false},
	} {
		require.Equal(t, test.allowed, violation(test.file, test.imported) == "", "%s imports %s", test.file, test.imported)
	}
}
