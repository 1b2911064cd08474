package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// maxRootZip is the maximum size of the root module, which every user
// downloads.
const maxRootZip = 3 << 19 // 1.5 MiB

// A packed module is in the file proxy.
type packed struct {
	*mod
	size int64
	hash string // h1:…, as in go.sum
}

// pack writes every module into a module proxy in a folder. It creates each zip
// as the go command does from a tag, and reports all problems at once.
func (t *tree) pack(ctx context.Context, proxy string) ([]packed, error) {
	var all []packed
	var problems []error
	for _, m := range t.mods {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := t.packOne(m, proxy)
		if err != nil {
			problems = append(problems, fmt.Errorf("packing %s: %w", m.path, err))
			continue
		}
		all = append(all, p)
		if m.dir == "." && p.size > maxRootZip {
			problems = append(problems, fmt.Errorf("the root module's zip has %d bytes and the limit is %d; move files to a nested module.\n"+
				"The largest folders, compressed: %s", p.size, maxRootZip, largest(proxy, m, t.version)))
		}
	}
	return all, errors.Join(problems...)
}

func (t *tree) packOne(m *mod, proxy string) (packed, error) {
	p := packed{mod: m}
	v := module.Version{Path: m.path, Version: t.version}
	if err := module.Check(v.Path, v.Version); err != nil {
		return p, err
	}
	base, err := proxyFile(proxy, v)
	if err != nil {
		return p, err
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return p, err
	}
	f, err := os.Create(base + ".zip")
	if err != nil {
		return p, err
	}
	defer f.Close()
	subdir := m.dir
	if subdir == "." {
		subdir = ""
	}
	if err := modzip.CreateFromVCS(f, v, t.dir, "HEAD", subdir); err != nil {
		return p, err
	}
	info, err := f.Stat()
	if err != nil {
		return p, err
	}
	p.size = info.Size()
	if err := f.Close(); err != nil {
		return p, err
	}
	if p.hash, err = dirhash.HashZip(base+".zip", dirhash.Hash1); err != nil {
		return p, err
	}
	mod, err := os.ReadFile(filepath.Join(t.dir, filepath.FromSlash(m.dir), "go.mod"))
	if err != nil {
		return p, err
	}
	return p, errors.Join(
		os.WriteFile(base+".mod", mod, 0o644),
		os.WriteFile(base+".info", fmt.Appendf(nil, `{"Version":%q}`, v.Version), 0o644),
		os.WriteFile(filepath.Join(filepath.Dir(base), "list"), []byte(v.Version+"\n"), 0o644),
	)
}

// proxyFile returns the path of a module version's files in a proxy, without
// extension.
func proxyFile(proxy string, v module.Version) (string, error) {
	p, err := module.EscapePath(v.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(v.Version)
	return filepath.Join(proxy, filepath.FromSlash(p), "@v", version), err
}

// largest returns the largest folders in a module's zip.
func largest(proxy string, m *mod, version string) string {
	base, err := proxyFile(proxy, module.Version{Path: m.path, Version: version})
	if err != nil {
		return err.Error()
	}
	z, err := zip.OpenReader(base + ".zip")
	if err != nil {
		return err.Error()
	}
	defer z.Close()
	sizes := map[string]uint64{}
	for _, f := range z.File {
		name := strings.TrimPrefix(f.Name, m.path+"@"+version+"/")
		folder := "."
		if parts := strings.Split(name, "/"); len(parts) > 1 {
			folder = strings.Join(parts[:min(2, len(parts)-1)], "/")
		}
		sizes[folder] += f.CompressedSize64
	}
	var names []string
	for name := range sizes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(sizes[b]) - int(sizes[a]) })
	var lines []string
	for _, name := range names[:min(5, len(names))] {
		lines = append(lines, fmt.Sprintf("%s %d", name, sizes[name]))
	}
	return strings.Join(lines, ", ")
}
