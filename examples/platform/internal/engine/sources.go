package engine

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// sources has a folder for each program that can be deployed. The files end in
// .txt. Otherwise the go command would treat them as packages of this module,
// but one does not compile.
//
//go:embed sources
var sources embed.FS

// Sources returns the names of the programs that can be deployed.
func Sources() []string {
	entries, _ := fs.ReadDir(sources, "sources")
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// source has the files of a program.
type source map[string][]byte // by file name

func readSource(name string) (source, bool) {
	if !slices.Contains(Sources(), name) {
		return nil, false
	}
	dir := path.Join("sources", name)
	entries, err := fs.ReadDir(sources, dir)
	if err != nil {
		return nil, false
	}
	out := source{"go.mod": []byte("module app\n\ngo 1.26\n")}
	for _, e := range entries {
		text, err := sources.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, false
		}
		out[strings.TrimSuffix(e.Name(), ".txt")] = text
	}
	return out, true
}

// hash identifies a build by its files and the toolchain.
func (s source) hash(toolchain string) string {
	h := sha256.New()
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	h.Write([]byte(toolchain))
	for _, name := range names {
		sum := sha256.Sum256(s[name])
		h.Write([]byte("\x00" + name + "\x00"))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
