package seeds_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/internal/tbtest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func read(t *testing.T, text string) ([]seeds.Seed, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "FuzzX.txt")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return seeds.Read(file)
}

func TestRead(t *testing.T) {
	t.Parallel()
	all := []seeds.Seed{{"a\n\xff\"", []byte("\x00ü"), true}, {""}, {[]byte{}}, {"# \\", false}}
	for name, text := range map[string]string{
		"as Add documents it": `# the first
string("a\n\xff\"")
[]byte("\x00ü")
bool(true)

# two lines
# of comment
string("")

[]byte("")

string("# \\")
bool(false)
`,
		"without a last newline, and with blanks": "\n\n string(\"a\\n\\xff\\\"\") \r\n[]byte(\"\\x00ü\")\r\nbool(true)\r\n\r\n" +
			"string(\"\")\n\n\n\n[]byte(\"\")\n \nstring(`# \\`)\nbool(false)",
		"with Go's own files appended": "string(\"a\\n\\xff\\\"\")\n[]byte(\"\\x00ü\")\nbool(true)\n" +
			"\ngo test fuzz v1\nstring(\"\")\n\ngo test fuzz v1\n[]byte(\"\")\n\ngo test fuzz v1\nstring(`# \\`)\nbool(false)\n",
	} {
		got, err := read(t, text)
		require.NoError(t, err, name)
		assert.Equal(t, all, got, name)
	}
	got, err := read(t, "# nothing else\n")
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestRead_RefusesOtherLines(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"a", `"a"`, `string("a`, `string("a") string("b")`, `string("a", "b")`, `string(a)`, `string(1)`, `[]byte('a')`,
		`bool("true")`, `bool(t)`, `bool(T)`, `string(true)`, `[]string("a")`, `int(1)`, "go test fuzz v2",
	} {
		_, err := read(t, "string(\"b\")\n"+line+"\n")
		require.ErrorContains(t, err, "FuzzX.txt:2: want ", line)
		require.ErrorContains(t, err, line)
	}
	_, err := seeds.Read(filepath.Join(t.TempDir(), "FuzzX.txt"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// target records the seeds that it gets.
type target struct {
	testing.TB
	name string
	got  []seeds.Seed
}

func (t *target) Name() string { return t.name }

func (t *target) Add(args ...any) { t.got = append(t.got, args) }

// FuzzAdd runs with the seeds of its own file.
func FuzzAdd(f *testing.F) {
	third := seeds.Seed{"third", []byte{3}}
	all := []seeds.Seed{{"first", []byte{1}}, {"second", []byte{2}}, third}
	seeds.Add(f, 3, third)
	f.Fuzz(func(t *testing.T, _ string, _ []byte) {
		record := &target{TB: t, name: "FuzzAdd"}
		seeds.Add(record, 3, third)
		require.Equal(t, all, record.got)
	})
}

func TestAdd_NoticesALostSeed(t *testing.T) {
	t.Parallel()
	one := seeds.Seed{"one"}
	for _, c := range []struct {
		name string
		want int
		more []seeds.Seed
		text string
	}{
		{"FuzzAdd", 2, nil, ""},
		{"FuzzAdd", 3, nil, "FuzzAdd has 2 seeds with those of testdata/seeds/FuzzAdd.txt, want 3"},
		{"FuzzAdd", 1, nil, "FuzzAdd has 2 seeds with those of testdata/seeds/FuzzAdd.txt, want 1"},
		{"FuzzAdd", 2, []seeds.Seed{one}, "FuzzAdd has 3 seeds with those of testdata/seeds/FuzzAdd.txt, want 2"},
		{"FuzzNoFile", 1, []seeds.Seed{one}, ""},
		{"FuzzNoFile", 0, nil, "FuzzNoFile has 0 seeds with those of testdata/seeds/FuzzNoFile.txt, want 0"},
	} {
		record := &target{name: c.name}
		failures := tbtest.Failures(t, func(tb testing.TB) {
			record.TB = tb
			seeds.Add(record, c.want, c.more...)
		})
		if c.text == "" {
			assert.Empty(t, failures)
			assert.Len(t, record.got, c.want)
			continue
		}
		assert.Equal(t, []string{filepath.FromSlash(c.text)}, failures)
		assert.Empty(t, record.got)
	}
}
