package hiddentest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

const repository = "github.com/deployhook/deployhook/"

// secretTypes lists types that are a secret or contain one. The search does not
// look at their own fields, because a value in an interface or a closure has no
// type there.
var secretTypes = map[string]bool{
	repository + "internal/hidden.Value": true,

	repository + "signer.Secret":     true,
	repository + "signer.SigningKey": true,
	repository + "signer.Key":        true,
	repository + "signer.Signer":     true,
	repository + "signer.Verifier":   true,
	repository + "signer.Scheme":     true,
	repository + "signer.Option":     true,

	"crypto.Signer":             true,
	"crypto.PrivateKey":         true,
	"crypto/cipher.AEAD":        true,
	"crypto/cipher.Block":       true,
	"crypto/ed25519.PrivateKey": true,
	"crypto/tls.Certificate":    true,
	"hash.Hash":                 true,
	"net/http.Header":           true,
	"net/url.URL":               true,
	"net/url.Userinfo":          true,
}

// secretName matches the names of string and byte fields that are a secret.
var secretName = regexp.MustCompile(`(?i)(secret|password|passwd|passphrase|api_?key|private|authorization|credential|bearer|dsn)`)

// secretType matches the names of types that are a secret.
var secretType = regexp.MustCompile(`(Secret|Token|Credential|Password)s?$`)

// RequireCovered fails if an exported struct type can hold a secret but is not
// among the covered values. It looks at the fields of all types in the public
// packages of the module around dir. An excuse explains why a type needs no
// test. Its key is the type's name, such as "sender.Attempt".
func RequireCovered(t T, dir string, excuses map[string]string, covered ...any) {
	t.Helper()
	have := map[string]bool{}
	for _, value := range covered {
		typ := reflect.TypeOf(value)
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		have[typ.PkgPath()+"."+typ.Name()] = true
	}
	found, err := holders(dir)
	require.NoError(t, err)
	unused := map[string]bool{}
	for name := range excuses {
		unused[name] = true
	}
	for name := range found {
		short := name[strings.LastIndexByte(name, '/')+1:]
		delete(unused, short)
		if have[name] || excuses[short] != "" {
			delete(found, name)
		}
	}
	requireNone(t, found)
	require.Empty(t, unused, "excuses for types that hold no secret")
}

// RequireNone fails if an exported struct type of the packages in and below
// dirs can hold a secret. One call for many modules takes much less time than
// one call for each, because the go command reads the workspace only once.
func RequireNone(t T, dirs ...string) {
	t.Helper()
	found, err := holders(dirs...)
	require.NoError(t, err)
	requireNone(t, found)
}

// requireNone fails with the types that hold a secret, and the way to it.
func requireNone(t T, found map[string]string) {
	t.Helper()
	var missing []string
	for name, way := range found {
		missing = append(missing, fmt.Sprintf("%s holds one by %s", name, way))
	}
	slices.Sort(missing)
	require.Empty(t, missing, "types that can hold a secret and are not covered")
}

// listed is the output of "go list" for a package.
type listed struct {
	ImportPath, Export string
	DepOnly            bool
	Standard           bool
}

// holders returns the exported struct types of the public packages in and below
// dirs that can hold a secret. The value is the field that leads to the secret.
func holders(dirs ...string) (map[string]string, error) {
	packages, err := list(dirs)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	load := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	found := map[string]string{}
	for _, p := range packages {
		if p.DepOnly || p.Export == "" || strings.Contains(p.ImportPath+"/", "/internal/") || strings.Contains(p.ImportPath, "/examples/") {
			continue
		}
		pkg, err := load.Import(p.ImportPath)
		if err != nil {
			return nil, err
		}
		for _, name := range pkg.Scope().Names() {
			named, ok := pkg.Scope().Lookup(name).(*types.TypeName)
			if !ok || !named.Exported() || named.IsAlias() {
				continue
			}
			if _, ok := named.Type().Underlying().(*types.Struct); !ok {
				continue
			}
			if way := wayToSecret(named.Type().(*types.Named)); way != "" {
				found[p.ImportPath+"."+name] = way
			}
		}
	}
	return found, nil
}

func list(dirs []string) ([]listed, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,DepOnly,Standard")
	for _, dir := range dirs {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		cmd.Args = append(cmd.Args, filepath.Join(absolute, "..."))
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %q: %w: %s", dirs, err, stderr.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
}

// wayToSecret returns the path from an exported struct type to a secret, or "".
func wayToSecret(t *types.Named) string {
	if secretType.MatchString(t.Obj().Name()) {
		return "its name"
	}
	s := search{seen: map[types.Type]bool{}}
	return s.named(t)
}

// search looks for a secret in a type and in all types that it contains.
type search struct{ seen map[types.Type]bool }

// find returns the path to a secret, or "".
func (s *search) find(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		name := t.Obj().Name()
		if pkg := t.Obj().Pkg(); pkg != nil {
			name = pkg.Path() + "." + name
		}
		if secretTypes[name] {
			return name
		}
		return s.named(t)
	case *types.Pointer:
		return s.find(t.Elem())
	case *types.Slice:
		return s.find(t.Elem())
	case *types.Array:
		return s.find(t.Elem())
	case *types.Map:
		if way := s.find(t.Key()); way != "" {
			return way
		}
		return s.find(t.Elem())
	case *types.Chan:
		return s.find(t.Elem())
	case *types.Struct:
		return s.fields(t)
	}
	return ""
}

// named searches the types of this repository. Other modules are responsible
// for hiding the fields of their types.
func (s *search) named(t *types.Named) string {
	if s.seen[t] {
		return ""
	}
	s.seen[t] = true
	for i := range t.TypeArgs().Len() {
		if way := s.find(t.TypeArgs().At(i)); way != "" {
			return way
		}
	}
	if pkg := t.Obj().Pkg(); pkg == nil || !strings.HasPrefix(pkg.Path()+"/", repository) {
		return ""
	}
	return s.find(t.Underlying())
}

func (s *search) fields(t *types.Struct) string {
	for i := range t.NumFields() {
		field := t.Field(i)
		if secretName.MatchString(field.Name()) && isText(field.Type()) || givesText(field.Type()) {
			return field.Name()
		}
		if way := s.find(field.Type()); way != "" {
			return field.Name() + ", " + way
		}
	}
	return ""
}

// givesText reports whether t is a function without parameters that returns
// strings or bytes. Such a closure hides a secret.
func givesText(t types.Type) bool {
	signature, ok := t.Underlying().(*types.Signature)
	if !ok || signature.Params().Len() > 0 {
		return false
	}
	for i := range signature.Results().Len() {
		if isText(signature.Results().At(i).Type()) {
			return true
		}
	}
	return false
}

// isText reports whether t consists of strings or bytes.
func isText(t types.Type) bool {
	switch t := t.Underlying().(type) {
	case *types.Basic:
		return t.Kind() == types.String
	case *types.Slice:
		basic, ok := t.Elem().Underlying().(*types.Basic)
		return ok && slices.Contains([]types.BasicKind{types.Uint8, types.String}, basic.Kind())
	case *types.Pointer:
		return isText(t.Elem())
	}
	return false
}
