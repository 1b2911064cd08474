package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write REFERENCE.md")

// REFERENCE.md is the document as a page. After a change of the document, write
// it with
//
//	go test ./sender/outbox/api -run TestReference -update
func TestReference(t *testing.T) {
	t.Parallel()
	p := &page{doc: theDocument(t)}
	p.write()
	if *update {
		require.NoError(t, os.WriteFile("REFERENCE.md", p.Bytes(), 0o644))
	}
	text, err := os.ReadFile("REFERENCE.md")
	require.NoError(t, err)
	require.Equal(t, p.String(), string(text), "REFERENCE.md is not the document's; write it with -update")
}

// page is REFERENCE.md.
type page struct {
	bytes.Buffer

	doc *document
}

func (p *page) f(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) write() {
	p.f("# The management API\n")
	p.f("<!-- Written from openapi.json by go test ./sender/outbox/api -run TestReference -update -->\n")
	p.f("[openapi.json](openapi.json) describes the API for programs, and this page is made from it. [PROBLEMS.md](PROBLEMS.md)\n" +
		"explains the codes of errors.\n")
	p.f("%s\n", p.doc.Info.Description)
	p.f("## Operations\n")
	p.f("| operation | request |\n|---|---|")
	p.each(func(path, method string, o *documentedMethod) {
		p.f("| [%s](#%s) | `%s %s` |", o.Summary, anchor(o.Summary), method, path)
	})
	tag := ""
	p.each(func(path, method string, o *documentedMethod) {
		if o.Tags[0] != tag {
			tag = o.Tags[0]
			p.f("\n## %s\n\n%s", title(tag), p.tag(tag))
		}
		p.operation(path, method, o)
	})
	p.webhooks()
	p.f("\n## Types")
	for _, s := range p.doc.Components.Schemas {
		p.f("\n### %s\n\n%s", s.name, s.value.Description)
		p.members(s.value)
	}
}

// each calls f for each operation, in the order of the tags.
func (p *page) each(f func(path, method string, o *documentedMethod)) {
	for _, tag := range p.doc.Tags {
		for _, path := range p.doc.Paths {
			for _, m := range path.value {
				if m.value.Tags[0] == tag.Name {
					f(path.name, strings.ToUpper(m.name), m.value)
				}
			}
		}
	}
}

func (p *page) tag(name string) string {
	for _, tag := range p.doc.Tags {
		if tag.Name == name {
			return tag.Description
		}
	}
	return ""
}

// accesses are the words for what an operation requires.
var accesses = map[string]string{
	"read": "everyone who has access", "change": "callers who may change something", "operator read": "operators",
	"operator change": "operators who may change something",
}

func (p *page) operation(path, method string, o *documentedMethod) {
	p.f("\n### %s\n\n`%s %s`\n\n%s\n", o.Summary, method, path, o.Description)
	p.f("Permitted for %s. The operation's name in the document is `%s`.", accesses[o.Access], o.OperationID)
	p.parameters(o.Parameters)
	if b := o.RequestBody; b != nil {
		content := b.Content["application/json"]
		optional := " The body can be left out."
		if b.Required {
			optional = ""
		}
		p.f("\n**Request:** %s. %s%s", p.typeOf(content.Schema), b.Description, optional)
		p.example(content)
	}
	for _, status := range sorted(o.Responses) {
		if r := o.Responses[status]; r.Ref == "" {
			p.response(status, r)
		}
	}
	p.problems(o)
}

func (p *page) parameters(all []*parameter) {
	if len(all) == 0 {
		return
	}
	p.f("\n| parameter | in | type | meaning |\n|---|---|---|---|")
	for _, q := range all {
		if q.Ref != "" {
			q = p.doc.Components.Parameters[q.name()]
		}
		p.f("| `%s` | %s | %s | %s |", q.Name, q.In, p.typeOf(q.Schema), cell(q.Description+limits(q.Schema)))
	}
}

func (p *page) response(status string, r *documentedResponse) {
	content, hasBody := r.Content["application/json"]
	kind := "no body"
	if hasBody {
		kind = p.typeOf(content.Schema)
	}
	p.f("\n**Response %s:** %s. %s", status, kind, r.Description)
	for _, h := range r.Headers {
		p.f("The header `%s`: %s", h.name, h.value.Description)
	}
	if hasBody {
		p.example(content)
	}
}

// problems lists the codes of an operation.
func (p *page) problems(o *documentedMethod) {
	p.f("\n| status | codes | when |\n|---|---|---|")
	var fields []string
	for _, status := range sorted(o.Responses) {
		r := o.Responses[status]
		if r.Ref == "" {
			continue
		}
		r = p.doc.response(r)
		p.f("| %s | %s | %s |", status, links(r.Codes), cell(r.Description))
		fields = append(fields, r.FieldCodes...)
	}
	if len(fields) > 0 {
		p.f("\nCodes of fields: %s.", links(fields))
	}
}

func links(codes []string) string {
	var all []string
	for _, code := range codes {
		all = append(all, fmt.Sprintf("[`%s`](PROBLEMS.md#%s)", code, code))
	}
	return strings.Join(all, ", ")
}

// short matches the JSON objects and arrays that have no other ones in them.
var short = regexp.MustCompile(`[\[{][^\[\]{}]*[\]}]`)

// example shows an example as JSON, with short objects on one line.
func (p *page) example(content mediaType) {
	text := content.Example
	for _, r := range content.Examples {
		text = p.doc.Components.Examples[r.name()].Value
	}
	var out bytes.Buffer
	_ = json.Indent(&out, text, "", "  ") // the document was parsed
	p.f("\n```json\n%s\n```", short.ReplaceAllStringFunc(out.String(), func(text string) string {
		if line := strings.Join(strings.Fields(text), " "); len(line) < 80 {
			return strings.NewReplacer("[ ", "[", " ]", "]", "{ ", "{", " }", "}").Replace(line)
		}
		return text
	}))
}

func (p *page) webhooks() {
	p.f("\n## Webhooks\n\n%s", p.tag("webhooks"))
	for i, hook := range p.doc.Webhooks {
		o := hook.value["post"]
		if i == 0 {
			p.f("%s\n\nThe body is a %s.", o.Description, p.typeOf(o.RequestBody.Content["application/json"].Schema))
			p.parameters(o.Parameters)
			p.f("\n| answer | meaning |\n|---|---|")
			for _, status := range sorted(o.Responses) {
				p.f("| %s | %s |", strings.Replace(status, "default", "other", 1), cell(o.Responses[status].Description))
			}
		}
		p.f("\n### %s\n\n%s", hook.name, o.Summary)
		p.example(o.RequestBody.Content["application/json"])
	}
}

// members lists the members of an object, and of objects in it that have no
// name.
func (p *page) members(s *schema) {
	if len(s.Enum) > 0 {
		p.f("\nOne of `%s`.", strings.Join(s.Enum, "`, `"))
	}
	if len(s.Properties) == 0 {
		return
	}
	p.f("\n| member | type | meaning |\n|---|---|---|")
	var list func(prefix string, s *schema, required bool)
	list = func(prefix string, s *schema, required bool) {
		for _, m := range s.Properties {
			always := ""
			if required && slices.Contains(s.Required, m.name) {
				always = " *"
			}
			p.f("| `%s%s`%s | %s | %s |", prefix, m.name, always, p.typeOf(m.value), cell(p.meaning(m.value)+limits(m.value)))
			if m.value.Ref == "" {
				list(prefix+m.name+".", m.value, false)
			}
		}
	}
	list("", s, true)
	switch {
	case len(s.Required) == 0:
	case string(s.AdditionalProperties) == "false": // of a request
		p.f("\nMembers with * are required.")
	default:
		p.f("\nMembers with * are always there.")
	}
}

// meaning is the description of a member, or that of its type.
func (p *page) meaning(s *schema) string {
	if s.Description != "" || s.Ref == "" {
		return s.Description
	}
	for _, named := range p.doc.Components.Schemas {
		if named.name == s.name() {
			return named.value.Description
		}
	}
	return ""
}

// typeOf names a type, with a link if the document does.
func (p *page) typeOf(s *schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return fmt.Sprintf("[%s](#%s)", s.name(), anchor(s.name()))
	case s.Type == "array":
		return "array of " + p.typeOf(s.Items)
	case s.Format == "date-time":
		return "time"
	case s.Type == "object" && len(s.Properties) == 0 && len(s.AdditionalProperties) > 0 && string(s.AdditionalProperties) != "true":
		var value schema
		_ = json.Unmarshal(s.AdditionalProperties, &value) // the document was parsed
		return "object of " + p.typeOf(&value)
	}
	return s.Type
}

// limits says what values a parameter or member can have.
func limits(s *schema) (text string) {
	if s.Type == "array" && len(s.Items.Enum) > 0 {
		text += " Values: `" + strings.Join(s.Items.Enum, "`, `") + "`."
	}
	if s.Minimum != nil && s.Maximum != nil {
		text += fmt.Sprintf(" From %.0f to %.0f.", *s.Minimum, *s.Maximum)
	}
	if s.Default != nil {
		text += fmt.Sprintf(" Default: %v.", s.Default)
	}
	return text
}

func sorted[T any](m map[string]T) (all []string) {
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// cell is a text in a table.
func cell(text string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text) }

func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

// anchor is the link target that GitHub gives a heading.
func anchor(heading string) string {
	return strings.NewReplacer(" ", "-", "'", "", ".", "").Replace(strings.ToLower(heading))
}
