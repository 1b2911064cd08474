package cdevents

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

// maxPath is the maximum length, in bytes, of a path from the input that an
// error repeats.
const maxPath = 128

var _ json.UnmarshalerFrom = (*text)(nil)

var errNotString = errors.New(notAString)

// text is a JSON string. The schemas of CDEvents reject null, which would
// silently become an empty Go string.
type text string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if kind := dec.PeekKind(); kind != '"' && kind != 0 {
		return errNotString
	}
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	*t = text(token.String())
	return nil
}

// read decodes data into target by the rules of encoding/json/v2. Duplicate
// names and invalid UTF-8 are errors, and names match only in their exact case.
// read creates its own error texts, because those of the decoder may repeat the
// input.
func read(data []byte, target any, options ...json.Options) error {
	err := json.Unmarshal(data, target, options...)
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		return invalid(path(syntax.JSONPointer), "must not appear more than once")
	case !utf8.Valid(data):
		return invalid("", "must be valid UTF-8")
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return invalid("", "must be valid JSON, but ends too early")
	case syntax != nil && levels(syntax.JSONPointer) > maxLevels:
		return invalid("", fmt.Sprintf("must not be nested more than %d levels deep", maxLevels))
	case syntax != nil:
		const message = "must be one valid JSON object and nothing else (error at byte %d)"
		return invalid("", fmt.Sprintf(message, syntax.ByteOffset))
	case errors.As(err, &semantic):
		return invalid(path(semantic.JSONPointer), kindMessage(err, semantic))
	default:
		return invalid("", "must be valid JSON")
	}
}

// maxLevels is the maximum nesting that package payload allows in a document's
// members.
const maxLevels = 128

// levels returns the nesting depth of a place.
func levels(where jsontext.Pointer) (n int) {
	for range where.Tokens() {
		n++
	}
	return n
}

func kindMessage(err error, semantic *json.SemanticError) string {
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return "is not a member that CDEvents allow here"
	case errors.Is(err, errNotString):
		return notAString
	case semantic.JSONKind == 'n':
		return "must not be null"
	default:
		return mustBeObject
	}
}

// path converts a JSON pointer to a path in the format of package payload's
// errors. It cuts the path before the first name that is not a plain word,
// because the name may come from the input.
func path(pointer jsontext.Pointer) string {
	var names []string
	size := 0
	for token := range pointer.Tokens() {
		if size += len(token); !isWord(token) || size > maxPath {
			break
		}
		names = append(names, token)
	}
	return strings.Join(names, ".")
}

func isWord(name string) bool {
	for i := range len(name) {
		if !isAlnum(name[i]) && name[i] != '_' && name[i] != '-' {
			return false
		}
	}
	return name != ""
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// at puts a parent before the paths of a nested document.
func at(parent string, err error) error {
	var validation *payload.ValidationError
	if !errors.As(err, &validation) {
		return err
	}
	list := make([]payload.Failure, len(validation.Failures))
	for i, failure := range validation.Failures {
		list[i] = failure
		list[i].Path = parent
		if failure.Path != "" && failure.Path[0] != '[' {
			list[i].Path += "."
		}
		list[i].Path += failure.Path
	}
	return &payload.ValidationError{Failures: list, Omitted: validation.Omitted}
}
