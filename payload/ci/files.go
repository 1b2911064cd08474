package ci

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The maximum sizes of the files. GitHub limits the event to 25 MB and usually
// sends far less. The other file has a few hundred properties.
const (
	maxEventFile    = 5 << 20
	maxPropertyFile = 1 << 20
)

// The reasons why a file could not be used. They complete "VARIABLE points to a
// file that".
var (
	errNoFiles  = errors.New("Detect may not read")
	errAbsent   = errors.New("is not there or cannot be read")
	errNotFile  = errors.New("is not a regular file")
	errTooLarge = errors.New("is too large")
	errNotJSON  = errors.New("is not JSON")
)

// readPath reads the file that a variable points to.
func (s *scan) readPath(name string, limit int64) ([]byte, error) {
	if s.env.Files == nil {
		return nil, errNoFiles
	}
	name = fsPath(name)
	// Stat first, because opening a named pipe would block until a writer opens
	// it.
	info, err := fs.Stat(s.env.Files, name)
	switch {
	case err != nil:
		return nil, errAbsent
	case !info.Mode().IsRegular():
		return nil, errNotFile
	}
	file, err := s.env.Files.Open(name)
	if err != nil {
		return nil, errAbsent
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, errAbsent
	case int64(len(data)) > limit:
		return nil, errTooLarge
	default:
		return data, nil
	}
}

// fsPath converts an absolute path, including a Windows path, to a path for an
// fs.FS that is rooted at "/".
func fsPath(name string) string {
	if len(name) > 2 && name[1] == ':' {
		name = strings.ReplaceAll(name[2:], `\`, "/")
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// eventPaths lists the values of GitHub's event that the table needs.
var eventPaths = []string{
	"action", "before", "deployment.environment", "deployment.id", "deployment.ref", "head_commit.author.name",
	"head_commit.message", "pull_request.head.ref", "pull_request.head.sha", "pull_request.merge_commit_sha",
	"pull_request.merged", "pull_request.number", "workflow_run.head_sha",
}

// readEvent reads the event file that GitHub Actions and compatible systems
// write.
func readEvent(s *scan) error {
	s.fileVariable = "GITHUB_EVENT_PATH"
	name := present(s.env.Getenv(s.fileVariable))
	if name == "" {
		return nil
	}
	data, err := s.readPath(name, maxEventFile)
	if err != nil {
		return err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	// Receivers of webhooks must be strict with JSON. This file comes from the
	// runner instead of a stranger, so a duplicate name somewhere in it must
	// not cost all values.
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	values := make(map[string]string)
	if err := collect(d, "", values); err != nil {
		return errNotJSON
	}
	s.file = values
	return nil
}

// collect reads one value and keeps the strings, numbers and booleans at
// eventPaths.
func collect(d *jsontext.Decoder, prefix string, values map[string]string) error {
	if d.PeekKind() != '{' {
		return errNotJSON
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		if err := collectMember(d, prefix+token.String(), values); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

func collectMember(d *jsontext.Decoder, path string, values map[string]string) error {
	kind := d.PeekKind()
	switch {
	case kind == '{' && slices.ContainsFunc(eventPaths, func(p string) bool { return strings.HasPrefix(p, path+".") }):
		return collect(d, path+".", values)
	case (kind == '"' || kind == '0' || kind == 't' || kind == 'f') && slices.Contains(eventPaths, path):
		token, err := d.ReadToken()
		if err == nil {
			values[path] = token.String()
		}
		return err
	default:
		return d.SkipValue()
	}
}

// properties lists the values of TeamCity's files that the table needs. The
// files also contain passwords, which are not read.
var properties = []string{
	"build.vcs.number", "teamcity.build.branch", "teamcity.build.id", "teamcity.build.triggeredBy",
	"teamcity.build.triggeredBy.username", "teamcity.configuration.properties.file", "teamcity.pullRequest.number",
	"teamcity.pullRequest.source.branch", "teamcity.serverUrl",
}

// readProperties reads the build's system properties, and the configuration
// parameters that they point to.
func readProperties(s *scan) error {
	s.fileVariable = "TEAMCITY_BUILD_PROPERTIES_FILE"
	name := present(s.env.Getenv(s.fileVariable))
	if name == "" {
		return nil
	}
	data, err := s.readPath(name, maxPropertyFile)
	if err != nil {
		return err
	}
	s.file = make(map[string]string)
	parseProperties(data, s.file)
	if name = s.file["teamcity.configuration.properties.file"]; name == "" {
		return nil
	}
	if data, err = s.readPath(name, maxPropertyFile); err != nil {
		return err
	}
	parseProperties(data, s.file)
	return nil
}

// parseProperties reads the format of java.util.Properties and keeps the values
// listed in properties.
func parseProperties(data []byte, values map[string]string) {
	text := string(data)
	if !utf8.ValidString(text) { // the format's own encoding is ISO 8859-1
		runes := make([]rune, len(data))
		for i, c := range data {
			runes[i] = rune(c)
		}
		text = string(runes)
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		if name, value := splitProperty(line); slices.Contains(properties, name) {
			values[name] = value
		}
	}
}

// continues reports whether a line ends in an odd number of backslashes.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// splitProperty splits at the first unescaped "=", ":" or blank.
func splitProperty(line string) (name, value string) {
	end := 0
	for end < len(line) && strings.IndexByte("=: \t\f", line[end]) < 0 {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	value = strings.TrimLeft(line[end:], " \t\f")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], " \t\f")
	}
	return unescapeProperty(line[:end]), unescapeProperty(value)
}

func unescapeProperty(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			if r, size := unescapeUnicode(s[i+1:]); size > 0 {
				b.WriteRune(r)
				i += size
				continue
			}
			fallthrough
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// unescapeUnicode reads the digits that follow \u. Characters beyond 16 bits
// are two escapes, as in UTF-16. The size is 0 unless there are four digits.
func unescapeUnicode(s string) (r rune, size int) {
	r, ok := fourDigits(s)
	if !ok {
		return 0, 0
	}
	if second, isEscape := strings.CutPrefix(s[4:], `\u`); isEscape && utf16.IsSurrogate(r) {
		if low, ok := fourDigits(second); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, len(`d83d\ude00`)
			}
		}
	}
	return r, 4
}

func fourDigits(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	code, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(code), err == nil
}
