package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// A side is a document type with its schema, its Go decoder and documents to
// start from.
type side struct {
	name   string
	schema *jsonschema.Schema
	decode func([]byte) error
	bases  map[string][]byte
}

func sides(t *testing.T) []side {
	t.Helper()
	return []side{
		{
			name:   "event",
			schema: compile(t, "event", payload.EventSchema()),
			decode: func(data []byte) error { _, err := payload.DecodeEvent(data); return err },
			bases:  documents(t, "event"),
		},
		{
			name:   "deployment",
			schema: compile(t, "deployment", payload.DeploymentSchema()),
			decode: func(data []byte) error { _, err := payload.DecodeDeployment(data); return err },
			bases:  documents(t, "deployment"),
		},
		{
			name:   "incident",
			schema: compile(t, "incident", payload.IncidentSchema()),
			decode: func(data []byte) error { _, err := payload.DecodeIncident(data); return err },
			bases:  documents(t, "incident"),
		},
		{
			name:   "envelope",
			schema: compile(t, "envelope", payload.EnvelopeSchema()),
			decode: func(data []byte) error { _, err := payload.DecodeEnvelope(data); return err },
			bases:  documents(t, "envelope"),
		},
	}
}

// compile also checks the schema against the meta-schema of draft 2020-12.
func compile(t *testing.T, name string, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiler.AssertVocabs()
	require.NoError(t, compiler.AddResource(name, doc))
	schema, err := compiler.Compile(name)
	require.NoError(t, err)
	return schema
}

func documents(t *testing.T, kind string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", "testdata", kind, "valid", "*.json"))
	require.NoError(t, err)
	docs := make(map[string][]byte)
	for _, name := range names {
		docs[strings.TrimSuffix(filepath.Base(name), ".json")], err = os.ReadFile(name)
		require.NoError(t, err)
	}
	require.NotEmpty(t, docs)
	return docs
}

// accepts reports whether the schema accepts the document.
func (s side) accepts(data []byte) bool {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	return err == nil && s.schema.Validate(doc) == nil
}

// agree requires that schema and decoder agree, and counts the result.
func (s side) agree(t *testing.T, data []byte, count map[bool]int) {
	t.Helper()
	err := s.decode(data)
	accepted := s.accepts(data)
	count[accepted]++
	if accepted != (err == nil) {
		t.Errorf("%s: the schema says %t, Go says %v:\n%.500s", s.name, accepted, err, data)
	}
}

func TestSchemaAcceptsTheExamples(t *testing.T) {
	t.Parallel()
	for _, s := range sides(t) {
		for name, doc := range s.bases {
			assert.NoError(t, s.decode(doc), name)
			assert.True(t, s.accepts(doc), name)
		}
	}
}

// TestSchemaAgreesOnMutations removes every member of every example and
// replaces it with every kind of value, at the top and in nested objects. It
// also adds each member that an example lacks.
func TestSchemaAgreesOnMutations(t *testing.T) {
	t.Parallel()
	for _, s := range sides(t) {
		count := map[bool]int{}
		for _, base := range s.bases {
			for _, path := range paths(s.schema) {
				s.agree(t, edit(t, base, path, nil), count)
				for _, value := range values(path[len(path)-1]) {
					s.agree(t, edit(t, base, path, json.RawMessage(value)), count)
				}
			}
		}
		t.Logf("%s: %d documents that both accept, %d that both refuse", s.name, count[true], count[false])
		assert.Greater(t, count[true], 500)
		assert.Greater(t, count[false], 500)
	}
}

// paths lists the members that the schema describes, and one unknown member at
// each level.
func paths(s *jsonschema.Schema, parents ...string) (list [][]string) {
	list = append(list, slices.Concat(parents, []string{"unknown"}))
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		path := slices.Concat(parents, []string{name})
		list = append(list, path)
		switch nested := s.Properties[name]; {
		case name == "metadata":
			list = append(list, slices.Concat(path, []string{"member"}))
		case nested.Properties != nil:
			list = append(list, paths(nested, path...)...)
		}
	}
	return list
}

// values returns JSON values of every kind, at and beyond the limits, and
// special values for the named member.
func values(name string) []string {
	list := []string{
		`null`, `true`, `false`, `0`, `-0`, `-0.0`, `1`, `-1`, `0.5`, `-0.5`, `200`, `1e2`, `200.0`, `999`, `1000`, `1e15`, `1e16`,
		`9007199254740991`, `9007199254740992`, `2147483647`, `2147483648`, `1e300`, `1e400`, `-1e400`, `""`, `"x"`, `"abcde"`, `"ABCDEF0"`, `[]`, `["x"]`, `{}`, `{"a":1}`,
		`{"a":"x","b":true,"c":1.5}`, `{"a":null}`, `{"a":[]}`, `{"a":{}}`, `"a b"`, `"\u0000"`, `"a\nb"`, `"\u007f"`, `"é"`,
		`"` + strings.Repeat("a", 40) + `"`, `"` + strings.Repeat("a", 41) + `"`, `"` + strings.Repeat("a", 64) + `"`,
		`"` + strings.Repeat("a", 65) + `"`, `"` + strings.Repeat("a", 255) + `"`, `"` + strings.Repeat("a", 256) + `"`,
		`"` + strings.Repeat("é", 255) + `"`, `"` + strings.Repeat("é", 256) + `"`, `"` + strings.Repeat("😀", 1024) + `"`,
		`"` + strings.Repeat("é", 1025) + `"`, `"` + strings.Repeat("a", 8193) + `"`,
	}
	switch {
	case name == "event" || name == "type":
		list = append(list, types...)
	case name == "status":
		list = append(list, statuses...)
	case name == "timestamp" || strings.HasSuffix(name, "At"):
		for _, date := range dates() {
			list = append(list, quote(date))
		}
	case strings.HasSuffix(strings.ToLower(name), "url"):
		list = append(list, urls...)
	}
	return list
}

var types = []string{
	`"deploy.started"`, `"build.completed"`, `"health_check.passed"`, `"deploy.live"`, `"deploy.failed"`, `"deploy.rolled_back"`,
	`"a.b"`, `"a_1.b.c"`, `"deploy"`, `".a"`, `"a."`, `"a..b"`, `"A.b"`, `"a-b.c"`, `"a.b\n"`, `"deploy.*"`,
	`"` + strings.Repeat("a.", 63) + `aa"`, `"` + strings.Repeat("a.", 64) + `a"`,
}

var statuses = []string{
	`"pending"`, `"in_progress"`, `"success"`, `"failure"`, `"cancelled"`, `"rolled_back"`, `"Success"`, `"succeeded"`, `"success\n"`,
}

var urls = []string{
	`"https://example.com"`, `"http://example.com:8080/a?b=c#d"`, `"HTTPS://EXAMPLE.COM"`, `"https://[::1]/"`, `"https://é.example/ü"`,
	`"https://"`, `"https:///a"`, `"https://?a"`, `"https://#a"`, `"ftp://example.com"`, `"javascript:alert(1)"`, `"javascript://a/%0a"`,
	`"//example.com"`, `"/a"`, `"https://a b"`, `"https://a\n"`, `" https://a"`, `"https:/a"`, `"httpss://a"`, `"https://a\u0000"`,
	`"https://a\u007f"`, `"https://` + strings.Repeat("a", 8184) + `"`, `"https://` + strings.Repeat("a", 8185) + `"`,
}

// dates combines valid and invalid texts for each part of a date.
func dates() []string {
	list := []string{"", "now", "2024", "2024-01", "20240115", "2024-W03-1", "2024-01-15 ", " 2024-01-15", "2024-01-15\n", "10000-01-01"}
	for _, day := range []string{
		"1970-01-02", "1969-12-31", "0001-01-01", "0000-01-01", "2024-02-29", "2023-02-29", "2000-02-29", "1900-02-29", "2100-02-29", "2400-02-29",
		"1972-02-29", "1976-02-29", "1980-02-29", "1996-02-29", "1998-02-29", "3200-02-29", "3300-02-29", "9996-02-29",
		"2024-01-31", "2024-04-30", "2024-04-31", "2024-06-31", "2024-09-31", "2024-11-31", "2024-12-31", "2024-01-32", "2024-01-00",
		"2024-00-01", "2024-13-01", "2024-1-1", "9999-12-30", "2024-02-30", "2024-02-28",
	} {
		list = append(list, day, day+"T10:30:00Z")
	}
	for year := 1970; year < 2110; year++ {
		list = append(list, fmt.Sprintf("%d-02-29", year))
	}
	for _, separator := range []string{"T", "t", " ", "_", "", "  "} {
		for _, clock := range []string{
			"10:30:00", "10:30", "10", "1030", "00:00:00", "23:59:59", "23:59:60", "24:00:00", "25:00:00", "10:60:00", "1:30:00", "10:3",
			"10:30:00.5", "10:30:00,5", "10:30:00.123456789012", "10:30:00.", "10:30.5", "10:30:00.5.5",
		} {
			for _, zone := range []string{
				"", "Z", "z", " Z", " UTC", "UTC", " utc", " GMT", "+00:00", "-00:00", "+0000", "+00", " +0200", " +02:00", " +02", "  +02",
				"+23:59", "+24:00", "+02:60", "+02:", "+02:0", "+2", "+020", "+02:000", "-08", "\u221208:00",
			} {
				list = append(list, "2024-01-15"+separator+clock+zone)
			}
		}
	}
	return list
}

func quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}

// edit sets the member at the path, creating the object around it. It removes
// the member if value is nil.
func edit(t *testing.T, base []byte, path []string, value json.RawMessage) []byte {
	t.Helper()
	var doc map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(base, &doc))
	switch name := path[0]; {
	case len(path) > 1:
		inner := doc[name]
		if inner == nil {
			inner = json.RawMessage(`{}`)
		}
		doc[name] = edit(t, inner, path[1:], value)
	case value == nil:
		delete(doc, name)
	default:
		doc[name] = value
	}
	var out bytes.Buffer
	out.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(doc)) {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "%s:%s", quote(name), doc[name])
	}
	out.WriteByte('}')
	return out.Bytes()
}

// TestSchemaAgreesOnEncoded checks that the output of Encode is valid by the
// schema.
func TestSchemaAgreesOnEncoded(t *testing.T) {
	t.Parallel()
	for _, s := range sides(t) {
		for name, doc := range s.bases {
			var encoded []byte
			var err error
			var document interface{ Encode() ([]byte, error) }
			switch s.name {
			case "event":
				document, err = payload.DecodeEvent(doc)
			case "envelope":
				document, err = payload.DecodeEnvelope(doc)
			case "deployment":
				document, err = payload.DecodeDeployment(doc)
			default:
				document, err = payload.DecodeIncident(doc)
			}
			require.NoError(t, err)
			encoded, err = document.Encode()
			require.NoError(t, err)
			assert.True(t, s.accepts(encoded), name)
		}
	}
}

// Both refuse a value that is not an object.
func TestSchemaAgreesOnOtherValues(t *testing.T) {
	t.Parallel()
	count := map[bool]int{}
	for _, s := range sides(t) {
		for _, doc := range values("") {
			s.agree(t, []byte(doc), count)
		}
	}
	assert.Zero(t, count[true])
}

// TestRulesBeyondTheSchema lists every rule on which the two differ, with the
// reason. Go is stricter in all of them.
func TestRulesBeyondTheSchema(t *testing.T) {
	t.Parallel()
	const event = `{"event":"build.completed","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d","x":0}`
	const deployment = `{"deploymentId":"d","commitSha":"a1b2c","environment":"e","status":"pending","startedAt":"2024-01-15","x":0}`
	const incident = `{"incidentId":"7","openedAt":"2024-01-15","x":0}`
	const envelope = `{"type":"build.completed","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"d","x":0}}`
	deep := strings.Repeat("[", 128) + strings.Repeat("]", 128)
	for _, difference := range []struct {
		reason   string
		old, new string
		goSays   bool
	}{
		{"a schema sees members after parsing, when duplicates are gone", `"x":0`, `"x":0,"x":1`, false},
		{"the same, in escapes", `"x":0`, `"x":0,"\u0078":1`, false},
		{"a schema sees text after decoding, when bad bytes have become U+FFFD", `"x":0`, `"x":"` + "\xff" + `"`, false},
		{"a schema sees characters, not escapes: a lone surrogate has become U+FFFD", `"x":0`, `"x":"\ud800"`, false},
		{"a schema cannot count levels of any value", `"x":0`, `"x":` + deep, false},
		{"a schema cannot move a date to UTC", `"2026-03-12T14:22:01Z"`, `"1970-01-01T00:00:00+01:00"`, false},
		{"a schema cannot move a date to UTC", `"2024-01-15"`, `"9999-12-31T23:30:00-01:00"`, false},
		{
			"a schema has no float64, in which this is the largest number allowed",
			`"x":0`, `"build_duration_seconds":9007199254740991.0000001`, true,
		},
		{"a schema cannot compare members", `"x":0`, `"event":"deploy.failed"`, false},
		{"a schema cannot compare members", `"x":0`, `"timestamp":"2026-03-12T14:22:02Z"`, false},
		{"a schema has no float64, in which this is zero", `"x":0`, `"image_size_mb":-1e-400`, true},
		{"a schema has no float64, in which this is an integer", `"x":0`, `"health_check":{"attempts":1.00000000000000000001}`, true},
	} {
		differed := false
		for i, s := range sides(t) {
			base := []string{event, deployment, incident, envelope}[i]
			if !strings.Contains(base, difference.old) {
				continue
			}
			doc := []byte(strings.Replace(base, difference.old, difference.new, 1))
			accepted, err := s.accepts(doc), s.decode(doc)
			if accepted == (err == nil) {
				continue
			}
			differed = true
			assert.Equal(t, difference.goSays, err == nil, difference.reason)
		}
		assert.True(t, differed, "there is no difference anymore, remove it from the list: %s %s", difference.reason, difference.new)
	}

	// A schema cannot see trailing data, because its validator gets one value.
	for _, s := range sides(t) {
		for _, base := range s.bases {
			assert.Error(t, s.decode(append(bytes.Clone(base), "{}"...)))
		}
	}
}
