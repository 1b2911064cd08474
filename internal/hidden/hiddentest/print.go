// Package hiddentest tests that types with a secret do not show it.
package hiddentest

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// verbs lists all verbs of package fmt, and combinations that change the
// output.
var verbs = []string{
	"%v", "%+v", "%#v", "%s", "%q", "%+q", "%#q", "%x", "%X", "% x", "%#x", "%d", "%b", "%o", "%O", "%c", "%U",
	"%e", "%g", "%t", "%T", "%p", "%w", "%20.8v", "%!",
}

// T is the part of *testing.T that the checks need.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
}

// RequireHidden prints values in every way that leads to a log, and fails if a
// canary appears. It prints each value alone, behind a pointer, in exported and
// unexported fields, in slices and in maps.
func RequireHidden(t T, canaries []string, values ...any) {
	t.Helper()
	requireAbsent(t, canaries, values, func(value any) string { return printed(value) + dumped(value) })
}

// RequireNotPrinted is like [RequireHidden], but follows no pointers and calls
// no methods. Use it for values that refer to half of the process.
func RequireNotPrinted(t T, canaries []string, values ...any) {
	t.Helper()
	requireAbsent(t, canaries, values, printed)
}

func requireAbsent(t T, canaries []string, values []any, show func(any) string) {
	t.Helper()
	require.NotEmpty(t, canaries)
	require.NotEmpty(t, values)
	traces := Traces(canaries...)
	for _, value := range values {
		for _, form := range forms(value) {
			RequireAbsent(t, traces, show(form))
		}
	}
}

// RequireAbsent fails if output contains one of the traces.
func RequireAbsent(t T, traces []string, output string) {
	t.Helper()
	require.NotEmpty(t, output)
	for _, trace := range traces {
		if i := strings.Index(output, trace); i >= 0 {
			// NotContains would print all of it
			require.Fail(t, "a secret is shown", "%q in ...%q", trace, output[max(0, i-200):i+len(trace)])
		}
	}
}

// forms returns the places in which a value can be when it is printed.
func forms(value any) []any {
	type unexported struct {
		name  string
		value any
	}
	pointer := reflect.New(reflect.TypeOf(value))
	pointer.Elem().Set(reflect.ValueOf(value))
	return []any{
		value, pointer.Interface(),
		unexported{"field", value},
		&unexported{"field", value},
		struct{ Exported any }{value},
		struct{ p any }{pointer.Interface()},
		[]any{value},
		map[string]any{"key": value},
		[]unexported{{"field", value}},
		map[string]unexported{"key": {"field", value}},
	}
}

// printed returns the output of every fmt verb, slog's handlers, the encoders
// of the standard library and a panic for a value.
func printed(value any) string {
	var out strings.Builder
	for _, verb := range verbs {
		fmt.Fprintf(&out, verb+"\n", value)
	}
	text, encoded := slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))
	for _, logger := range []*slog.Logger{text, encoded} {
		logger.With("with", value).WithGroup("group").Error("message", "value", value, slog.Any("any", value))
	}
	marshal(&out, value)
	fmt.Fprintln(&out, panicked(value), fmt.Errorf("wrapped: %v", value), errors.Join(fmt.Errorf("%+v", value)))
	return out.String()
}

// dumped returns the output of a failed assertion for a value. It follows
// pointers and unexported fields and calls no method.
func dumped(value any) string {
	var out strings.Builder
	assert.Equal(recorder{&out}, value, reflect.New(reflect.TypeOf(value)).Elem().Interface())
	return out.String()
}

func marshal(out *strings.Builder, value any) {
	if encoded, err := json.Marshal(value); err == nil {
		out.Write(encoded)
	} else {
		out.WriteString(err.Error())
	}
	if encoded, err := xml.Marshal(value); err == nil {
		out.Write(encoded)
	}
	var binary bytes.Buffer
	// Most types cannot be encoded. Then there is no output to check.
	_ = gob.NewEncoder(&binary).Encode(value)
	out.Write(binary.Bytes())
}

func panicked(value any) (recovered any) {
	defer func() { recovered = recover() }()
	panic(value)
}

// recorder collects the output of assertions.
type recorder struct{ out *strings.Builder }

func (r recorder) Errorf(format string, args ...any) { fmt.Fprintf(r.out, format, args...) }

// Traces returns the forms in which a secret can appear in output. The first 12
// bytes are enough. A canary that is base64 also stands for the bytes that it
// encodes.
func Traces(canaries ...string) []string {
	var out []string
	for _, text := range canaries {
		values := [][]byte{[]byte(text)}
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
			values = append(values, raw)
		}
		for _, value := range values {
			start := value[:12]
			out = append(out,
				string(start), hex.EncodeToString(start), fmt.Sprintf("%X", start), fmt.Sprintf("% x", start),
				fmt.Sprintf("%+q", start)[1:12], strings.Trim(fmt.Sprint(start), "[]"),
				strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", start), "[]byte{"), "}"),
				base64.StdEncoding.EncodeToString(start), base64.URLEncoding.EncodeToString(start))
		}
	}
	return out
}
