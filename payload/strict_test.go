package payload_test

import (
	stdjson "encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// A kind is one of the two document types, so that the tests below can treat
// events and deployments alike.
type kind struct {
	name string
	base string // a valid document that ends in ,"x":0}
	// id is one of its string members, with its value.
	id     string
	decode func([]byte) (encode func() ([]byte, error), err error)
}

func kinds() []kind {
	return []kind{
		{
			name: "Event",
			base: `{"event":"build.completed","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d","x":0}`,
			id:   `"deployment_id":"d"`,
			decode: func(data []byte) (func() ([]byte, error), error) {
				event, err := payload.DecodeEvent(data)
				return event.Encode, err
			},
		},
		{
			name: "Deployment",
			base: `{"deploymentId":"d","commitSha":"a1b2c","environment":"e","status":"pending","startedAt":"2024-01-15","x":0}`,
			id:   `"deploymentId":"d"`,
			decode: func(data []byte) (func() ([]byte, error), error) {
				deployment, err := payload.DecodeDeployment(data)
				return deployment.Encode, err
			},
		},
	}
}

// forKinds runs a test for both kinds of document.
func forKinds(t *testing.T, test func(t *testing.T, k kind)) {
	t.Helper()
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

func TestStrictSyntax(t *testing.T) {
	t.Parallel()
	const notJSON = "Invalid payload: body must be one valid JSON object and nothing else (error at byte "
	forKinds(t, func(t *testing.T, k kind) {
		for doc, want := range map[string]string{
			"":                      "Invalid payload: body must be a JSON object, but is empty",
			" \n":                   "Invalid payload: body must be valid JSON, but ends too early",
			"null":                  "Invalid payload: body must be an object, not null",
			"[]":                    "Invalid payload: body must be an object",
			`"text"`:                "Invalid payload: body must be an object",
			"7":                     "Invalid payload: body must be an object",
			"{":                     "Invalid payload: body must be valid JSON, but ends too early",
			k.base[:len(k.base)-1]:  "Invalid payload: body must be valid JSON, but ends too early",
			k.base[:len(k.base)-3]:  "Invalid payload: body must be valid JSON, but ends too early",
			k.base + "x":            notJSON,
			k.base + "{}":           notJSON,
			k.base + "]":            notJSON,
			k.base + "\x00":         notJSON,
			"\ufeff" + k.base:       notJSON,
			"{'a':1}":               notJSON,
			"{a:1}":                 notJSON,
			"{1:1}":                 notJSON,
			`{"a":1,}`:              notJSON,
			`{"a" 1}`:               notJSON,
			`{"a":01}`:              notJSON,
			`{"a":+1}`:              notJSON,
			`{"a":.5}`:              notJSON,
			`{"a":NaN}`:             notJSON,
			`{"a":tru}`:             notJSON,
			`{"a":"\x"}`:            notJSON,
			`{"a":"\ud800"}`:        notJSON,
			`{"a":"` + "\n" + `"}`:  notJSON,
			`{"metadata":{"a":[}}`:  notJSON,
			`{"a":1} // comment`:    notJSON,
			`{"a":{"b":[1,2,{}]]}}`: notJSON,
		} {
			_, err := k.decode([]byte(doc))
			require.ErrorIs(t, err, payload.ErrInvalid, doc)
			assert.True(t, strings.HasPrefix(err.Error(), want), "%s\n%s", doc, err)
		}
		_, err := k.decode([]byte(" \t\r\n" + k.base + "\r\n\t "))
		assert.NoError(t, err, "white space around the document is not trailing data")
	})
}

func TestStrictDuplicateNames(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		escaped := strings.Replace(k.id, `"d`, `"\u0064`, 1)
		for member, want := range map[string]string{
			k.id:                                     "deployment_id",
			escaped:                                  "deployment_id",
			`"a":1,"a":1`:                            "a",
			`"a":1,"\u0061":2`:                       "a",
			`"a":{"b":{"c":1,"c":1}}`:                "a.b.c",
			`"metadata":{"v":1,"v":2}`:               "metadata.v",
			`"metadata":{"v":1,"\u0076":2}`:          "metadata.v",
			`"rawPayload":{"r":[{"v":1,"v":2}]}`:     "rawPayload.r.0",
			`"commit":{"sha":"aaaaa","sha":"bbbbb"}`: "commit.sha",
			`"a":{"":1,"":2}`:                        `a[""]`,
		} {
			_, err := k.decode(replace(t, k.base, `"x":0`, member))
			if want == "deployment_id" && k.name == "Deployment" {
				want = "deploymentId"
			}
			assert.EqualError(t, err, "Invalid payload: "+want+" must not appear more than once", member)
		}
	})
}

// encoding/json would match "Deployment_ID" to the field, and the last of the
// two would win.
func TestStrictCase(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		upper := strings.ToUpper(strings.Split(k.id, ":")[0]) + `:"other"`
		encode, err := k.decode(replace(t, k.base, `"x":0`, upper))
		require.NoError(t, err)
		encoded, err := encode()
		require.NoError(t, err)
		assert.Contains(t, string(encoded), k.id, "the field has its own value")
		assert.Contains(t, string(encoded), upper, "and the other member is kept")

		_, err = k.decode(replace(t, k.base, k.id, strings.ToUpper(k.id)))
		assert.ErrorContains(t, err, "is required", "a name in the wrong case is not the field")
	})
}

// A name with escapes matches the same field.
func TestStrictEscapedNames(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		encode, err := k.decode(replace(t, k.base, `"deployment`, `"\u0064eployment`))
		require.NoError(t, err)
		encoded, err := encode()
		require.NoError(t, err)
		assert.Contains(t, string(encoded), k.id)
	})
}

func TestStrictUTF8(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		for _, bad := range []string{"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3"} {
			for _, member := range []string{
				`"x":"%s"`, `"%s":0`, `"metadata":{"a":"%s"}`, `"rawPayload":{"a":"%s"}`, `"version":"%s"`,
			} {
				_, err := k.decode(replace(t, k.base, `"x":0`, fmt.Sprintf(member, bad)))
				assert.EqualError(t, err, "Invalid payload: body must be valid UTF-8", "%q in %s", bad, member)
			}
		}
	})
}

// Members that the document only carries are encoded byte for byte.
func TestBytesAreKept(t *testing.T) {
	t.Parallel()
	values := []string{
		`9007199254740993`, `-9223372036854775809`, `1e2`, `1E+2`, `1.0`, `-0`, `-0.0`, `0.1000000000000000055511151231257827`,
		`1e400`, `"\u00e9"`, `"é"`, `"\/"`, `"\ud83d\ude80"`, `"<&>"`, `"` + "\u2028" + `"`, `true`, `""`,
	}
	nested := []string{`{ "a" : [ 1 , {} ] }`, `[]`, `null`, "[\n\t1,\r2 ]", deep(100)}
	forKinds(t, func(t *testing.T, k kind) {
		kept := func(member string) {
			encode, err := k.decode(replace(t, k.base, `"x":0`, member))
			require.NoError(t, err, member)
			encoded, err := encode()
			require.NoError(t, err, member)
			assert.Contains(t, string(encoded), member)
		}
		for _, value := range append(values, nested...) {
			kept(`"other":` + value)
			kept(`"caf\u00e9":` + value)
			kept(`"rawPayload":{"a":` + value + ` }`)
		}
		for _, value := range values {
			kept(`"metadata":{"a": ` + value + `}`)
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		_, err := k.decode(replace(t, k.base, `"x":0`, `"other":`+deep(127)))
		assert.NoError(t, err)
		_, err = k.decode(replace(t, k.base, `"x":0`, `"other":`+deep(128)))
		assert.EqualError(t, err, "Invalid payload: other must not be nested more than 128 levels deep")
		_, err = k.decode(replace(t, k.base, `"x":0`, `"":`+deep(128)))
		assert.EqualError(t, err, `Invalid payload: [""] must not be nested more than 128 levels deep`)
		_, err = k.decode(replace(t, k.base, `"x":0`, `"other":`+deep(1_000_000)))
		assert.EqualError(t, err, "Invalid payload: body must not be nested more than 128 levels deep")
		_, err = k.decode(replace(t, k.base, `"x":0`, `"other":`+strings.Repeat(`{"a":`, 1_000_000)))
		assert.EqualError(t, err, "Invalid payload: body must not be nested more than 128 levels deep")
		_, err = k.decode([]byte(deep(20_000)))
		assert.ErrorIs(t, err, payload.ErrInvalid)
		_, err = k.decode(replace(t, k.base, `"x":0`, `"other":"`+strings.Repeat("[", 1000)+`"`))
		assert.NoError(t, err, "brackets in a string are not nesting")
	})
	_, err := payload.DecodeDeployment(replace(t, kinds()[1].base, `"x":0`, `"rawPayload":{"a":`+deep(127)+`}`))
	assert.NoError(t, err)
	_, err = payload.DecodeDeployment(replace(t, kinds()[1].base, `"x":0`, `"rawPayload":{"a":`+deep(128)+`}`))
	assert.EqualError(t, err, "Invalid payload: rawPayload must not be nested more than 128 levels deep")
}

func deep(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

// Errors limit and escape texts from the input, no matter how many failures
// there are.
func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		var many strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&many, `"%d%s":null,`, i, strings.Repeat(`\n`, 100))
		}
		longName := `"` + strings.Repeat("ü", 5000) + `"`
		for _, member := range []string{
			`"metadata":{` + strings.TrimSuffix(many.String(), ",") + `}`,
			`"metadata":{` + longName + `:null}`,
			longName + `:1,` + longName + `:2`,
			`"a":{` + longName + `:{` + longName + `:{` + longName + `:{` + longName + `:[{"a":1,"a":2}]}}}}`,
			longName + `:` + deep(200),
			strings.Repeat("x", 10_000),
		} {
			_, err := k.decode(replace(t, k.base, `"x":0`, member))
			require.ErrorIs(t, err, payload.ErrInvalid)
			text := err.Error()
			assert.Less(t, len(text), 16<<10)
			assert.True(t, utf8.ValidString(text))
			assert.NotContains(t, text, "\n")
			_, err = stdjson.Marshal(map[string]string{"error": text})
			assert.NoError(t, err)
		}
		_, err := k.decode(replace(t, k.base, `"x":0`, `"metadata":{`+strings.TrimSuffix(many.String(), ",")+`}`))
		var invalid *payload.ValidationError
		require.ErrorAs(t, err, &invalid)
		assert.Len(t, invalid.Failures, 32)
		assert.Equal(t, 10_000-32, invalid.Omitted)
		assert.True(t, strings.HasSuffix(err.Error(), "; and 9968 more"), err)
	})
}

// Strings of documents above 4 KiB are copied separately.
func TestLargeDocuments(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		for size := 4000; size < 4200; size++ {
			member := `"padd\u0069ng":"` + strings.Repeat("y", size) + `","metadata":{"a":[]},"metadata2":{"a": [1]}`
			_, err := k.decode(replace(t, k.base, `"x":0`, member))
			require.EqualError(t, err, "Invalid payload: metadata.a must be a string, number, or boolean")
			member = strings.Replace(member, `[]`, `"b"`, 1)
			encode, err := k.decode(replace(t, k.base, `"x":0`, member))
			require.NoError(t, err)
			encoded, err := encode()
			require.NoError(t, err)
			require.Contains(t, string(encoded), `"metadata2":{"a": [1]}`)
			require.Contains(t, string(encoded), strings.Repeat("y", size))
		}
	})
}

// A handler may reuse its buffer as soon as decoding has finished.
func TestDecodeKeepsNoReference(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		for _, size := range []int{1, 5000} {
			doc := replace(t, k.base, `"x":0`, `"kept":{"a":"`+strings.Repeat("y", size)+`"},"metadata":{"m":1}`)
			encode, err := k.decode(doc)
			require.NoError(t, err)
			before, err := encode()
			require.NoError(t, err)
			for i := range doc {
				doc[i] = '#'
			}
			after, err := encode()
			require.NoError(t, err)
			assert.Equal(t, string(before), string(after))
		}
	})
}
