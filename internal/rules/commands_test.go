package rules

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ran has, for each page with commands, the test that runs its bash blocks.
var ran = map[string]string{
	"examples/deploynotify/README.md":    "examples/deploynotify/readme_test.go:TestReadme_BashSnippetsRun",
	"examples/fanout/README.md":          "examples/fanout/readme_test.go:TestReadme_CommandsRun",
	"examples/guides/ci/README.md":       "examples/guides/ci/main_test.go:TestReadme_CommandsRun",
	"examples/guides/networks/README.md": "examples/guides/networks/main_test.go:TestReadme_CommandsRun",
	"examples/guides/operate/README.md":  "examples/guides/operate/main_test.go:TestReadme_CommandsRun",
	"examples/guides/platform/README.md": "examples/guides/platform/main_test.go:TestReadme_CommandsRun",
	"examples/guides/receive/README.md":  "examples/guides/receive/main_test.go:TestReadme_CommandsRun",
	"examples/hooktool/README.md":        "examples/hooktool/readme_test.go:TestReadme_CommandsRun",
	"examples/platform/README.md":        "examples/platform/readme_test.go:TestReadme_CommandsRun",
	"examples/receiver/README.md":        "examples/receiver/readme_test.go:TestReadme",
	"examples/rollbackbot/README.md":     "examples/rollbackbot/readme_test.go:TestReadme_Checks",
}

// other has the blocks that are not for bash, by the beginning of their first
// line. A test runs the same commands in its own way, or at least checks their
// flags. Where no test can, this is the reason.
var other = map[string]map[string]string{
	"README.md": {
		"$ go run ./examples/quickstart": "examples/quickstart/main_test.go:TestRun_EveryCaseEndsAsExpected",
		"$ export DEPLOYHOOK_SECRET=":    "examples/hello/hello_test.go:TestReadme_ProgramsRun",
		"$ go run ./examples/hello/send": "examples/hello/hello_test.go:TestReadme_ProgramsRun",
	},
	"examples/deploynotify/README.md": {
		"$ export DEPLOYHOOK_SECRET=": "examples/deploynotify/readme_test.go:TestReadme_CallsParse",
		"gh release download":         "needs a release on GitHub",
	},
	"examples/fanout/README.md": {
		"$ go run ./examples/fanout -log": "examples/fanout/fanout_test.go:TestFanOut",
	},
	"examples/guides/networks/README.md": {
		"DEPLOYHOOK_STORE=":               "a setting and no command",
		"$ kubectl create secret generic": "needs a Kubernetes cluster; TestManifests_AreStrictAndConsistent compares the names",
	},
	"examples/guides/platform/README.md": {
		"$ go get github.com/deployhook/":               "needs a published version; internal/release acts as such a user",
		"go run ./examples/guides/platform -migrations": "examples/guides/platform/main_test.go:TestReadme_AdministratorMakesTheTables",
	},
	"examples/hooktool/README.md": {
		"$ go install github.com/deployhook/": "needs a published version; internal/release installs it",
		"$ hooktool listen -record requests":  "the tunnel needs the internet",
		"$ export HOOKTOOL_API_TOKEN_FILE":    "examples/hooktool/readme_test.go:TestReadme_CallsParse",
		"$ export HOOKTOOL_PLATFORM_TOKEN":    "examples/hooktool/readme_test.go:TestReadme_CallsParse",
	},
	"examples/monitoring/README.md": {
		"go test -c -o bench.test": "benchmarks take minutes, and no test measures time",
	},
	"examples/receiver/README.md": {
		"$ export DEPLOYHOOK_API_KEYS":  "examples/receiver/readme_test.go:TestReadme",
		"$ go run . -report acme -from": "examples/receiver/main_test.go:TestReport",
	},
}

var commandBlock = regexp.MustCompile("(?m)^```(bash|sh|shell|console)\n(.*)$")

// A page shows no command that nothing runs without saying why.
func TestCommands_AreRun(t *testing.T) {
	t.Parallel()
	checkTest := func(page, by string) {
		if file, name, ok := strings.Cut(by, ":"); ok && strings.HasSuffix(file, "_test.go") {
			assert.True(t, exists(file) && strings.Contains(read(t, file), "\nfunc "+name+"("), "%s: %s has no %s", page, file, name)
		}
	}
	found, all := map[string]bool{}, pages(t)
	for page, text := range all {
		for _, m := range commandBlock.FindAllStringSubmatch(text, -1) {
			found[page] = true
			by, first := ran[page], ""
			for begins, shown := range other[page] {
				if strings.HasPrefix(m[2], begins) {
					by, first = shown, begins
				}
			}
			if m[1] != "bash" && first == "" {
				by = ""
			}
			assert.NotEmpty(t, by, "%s: name what runs the block that begins with %q, or why nothing does", page, m[2])
			checkTest(page, by)
		}
		for begins := range other[page] {
			assert.Contains(t, text, "\n"+begins, "%s has no such block any more", page)
		}
	}
	for page := range ran {
		assert.True(t, found[page], "%s has no commands any more", page)
	}
	require.Greater(t, len(found), 10, "the test finds the pages")
}
