package sim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// write writes a file below a directory and returns its name.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	name = filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

const description = "It forgets.\n\nwant: lost \\d+\nfile: a.go\n<<<<\nkeep()\n====\n>>>>\n"

func TestReadBug(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.go", "begin()\nkeep()\nend()\n")
	b, err := readBug(dir, write(t, dir, "bug.txt", description))
	require.NoError(t, err)
	assert.Equal(t, "begin()\nend()\n", string(b.files["a.go"]))
	assert.Equal(t, "TestSimulation", b.test)
	assert.Equal(t, "lost 7", b.want.FindString("seed 1 has lost 7 events"))
	assert.Equal(t, "It forgets.", b.about[0])
}

func TestReadBug_FailsLoudly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ code, description, want string }{
		"the code has changed": {"begin()\n", description, "a.go has these lines 0 times instead of once"},
		"ambiguous":            {"keep()\nkeep()\n", description, "a.go has these lines 2 times instead of once"},
		"no violation":         {"keep()\n", "file: a.go\n<<<<\nkeep()\n====\n>>>>\n", `needs a line "want: "`},
		"no replacement":       {"keep()\n", "want: lost\n", "and a replacement"},
		"malformed pattern":    {"keep()\n", "want: (\nfile: a.go\n<<<<\nkeep()\n====\n>>>>\n", "want: error parsing regexp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "a.go", test.code)
			_, err := readBug(dir, write(t, dir, "bug.txt", test.description))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestSeedsTaken(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "12", seedsTaken([]byte("seed 40 fails, found after 39 seeds\nseed 9 fails, found after 12 seeds\n")))
	assert.Equal(t, "47", seedsTaken([]byte("panic: x\n\ngoroutine 7 [running, synctest bubble 9 labels:{\"seed\": \"47\"}]:\n")))
	assert.Equal(t, "an unknown number of", seedsTaken([]byte("FAIL")))
}
