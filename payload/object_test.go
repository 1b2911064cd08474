package payload_test

import (
	stdjson "encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

const sample = ` { "s" : "caf\u00e9 \"x\"" ,"n":1e2,"i":-9007199254740993 , "t": true,"f":false,` +
	`"z":null,"o":{"a":[1,{"b":"]}"}]},"a":[ ],"\u0065":2, "":"empty" } `

func TestObjectReads(t *testing.T) {
	t.Parallel()
	o, err := payload.ParseObject([]byte(sample))
	require.NoError(t, err)
	assert.Equal(t, strings.TrimSpace(sample), o.JSON())
	assert.Equal(t, 10, o.Len())
	var names []string
	for name, value := range o.All() {
		names = append(names, name)
		got, ok := o.Get(name)
		assert.True(t, ok)
		assert.Equal(t, value, got)
	}
	assert.Equal(t, []string{"s", "n", "i", "t", "f", "z", "o", "a", "e", ""}, names)
	for range o.All() {
		// All allows the caller to stop early.
		break
	}
	for name, want := range map[string]struct {
		kind payload.Kind
		json string
	}{
		"s": {payload.KindString, `"caf\u00e9 \"x\""`},
		"n": {payload.KindNumber, `1e2`},
		"i": {payload.KindNumber, `-9007199254740993`},
		"t": {payload.KindBool, `true`},
		"f": {payload.KindBool, `false`},
		"z": {payload.KindNull, `null`},
		"o": {payload.KindObject, `{"a":[1,{"b":"]}"}]}`},
		"a": {payload.KindArray, `[ ]`},
		"e": {payload.KindNumber, `2`},
		"":  {payload.KindString, `"empty"`},
	} {
		value, _ := o.Get(name)
		assert.Equal(t, want.kind, value.Kind(), name)
		assert.Equal(t, want.json, value.JSON(), name)
	}
	for _, name := range []string{"S", "x", "\x00", `\u0065`} {
		value, ok := o.Get(name)
		assert.False(t, ok, name)
		assert.Equal(t, payload.KindNone, value.Kind())
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	o, err := payload.ParseObject([]byte(sample))
	require.NoError(t, err)
	get := func(name string) payload.Value { v, _ := o.Get(name); return v }

	text, ok := get("s").Text()
	assert.True(t, ok)
	assert.Equal(t, `café "x"`, text)
	assert.Equal(t, text, get("s").String())
	_, ok = get("n").Text()
	assert.False(t, ok)
	assert.Equal(t, "1e2", get("n").String())

	f, ok := get("n").Float64()
	assert.True(t, ok)
	assert.InDelta(t, 100, f, 0)
	_, ok = get("n").Int64()
	assert.False(t, ok, "not written as an integer")
	i, ok := get("i").Int64()
	assert.True(t, ok)
	assert.Equal(t, int64(-9007199254740993), i)
	_, ok = get("s").Int64()
	assert.False(t, ok)
	_, ok = get("t").Float64()
	assert.False(t, ok)

	b, ok := get("t").Bool()
	assert.True(t, b && ok)
	b, ok = get("f").Bool()
	assert.True(t, !b && ok)
	_, ok = get("z").Bool()
	assert.False(t, ok)

	var target struct{ A []any }
	assert.Error(t, get("o").Decode(&target.A))
	assert.NoError(t, get("a").Decode(&target.A))
	assert.ErrorContains(t, get("missing").Decode(&target.A), "absent")
	_, ok = get("missing").Float64()
	assert.False(t, ok)
	assert.Equal(t, "none null boolean string number object array", strings.Join([]string{
		payload.KindNone.String(), payload.KindNull.String(), payload.KindBool.String(), payload.KindString.String(),
		payload.KindNumber.String(), payload.KindObject.String(), payload.KindArray.String(),
	}, " "))
	huge, err := payload.ParseMetadata([]byte(`{"n":1e400}`))
	require.NoError(t, err)
	v, _ := huge.Get("n")
	_, ok = v.Float64()
	assert.False(t, ok, "out of range")
}

func TestParseObjectRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "null", "[]", "1", `{"a":1,"a":2}`, `{"a":"` + "\xff" + `"}`, "{} {}", `{"a":` + deep(128) + `}`,
	} {
		o, err := payload.ParseObject([]byte(text))
		assert.ErrorIs(t, err, payload.ErrInvalid, text)
		assert.True(t, o.IsZero())
	}
	for _, text := range []string{`{"a":null}`, `{"a":[]}`, `{"a":{}}`, `[]`, `{"a":1,"b":"null","c":{"d":1}}`} {
		m, err := payload.ParseMetadata([]byte(text))
		assert.ErrorIs(t, err, payload.ErrInvalid, text)
		assert.True(t, m.IsZero())
	}
	_, err := payload.ParseMetadata([]byte(`{"a":1,"b c":null,"d":"[{null","e":[]}`))
	assert.EqualError(t, err, `Invalid payload: ["b c"] must be a string, number, or boolean; `+
		`e must be a string, number, or boolean`)
}

func TestObjectSet(t *testing.T) {
	t.Parallel()
	var o payload.Object
	assert.True(t, o.IsZero())
	assert.Zero(t, o.Len())
	inner, err := payload.ParseObject([]byte(`{ "x" : 1.0 }`))
	require.NoError(t, err)
	metadata, err := payload.ParseMetadata([]byte(`{"y": 1e2}`))
	require.NoError(t, err)
	value, _ := inner.Get("x")
	require.NoError(t, o.Set("text", "a<b>\"\n\u2028"))
	require.NoError(t, o.Set("int", 42))
	require.NoError(t, o.Set("map", map[string]int{"b": 2, "a": 1}))
	require.NoError(t, o.Set("nil", nil))
	require.NoError(t, o.Set("object", inner))
	require.NoError(t, o.Set("metadata", metadata))
	require.NoError(t, o.Set("value", value))
	require.NoError(t, o.Set("raw", stdjson.RawMessage("[ 1, 2.50 ]")))
	require.NoError(t, o.Set("number", stdjson.Number("1E+2")))
	require.NoError(t, o.Set("zero", payload.Object{}))
	require.NoError(t, o.Set("int", true), "replaces")
	require.NoError(t, o.Set("na\"me", 0))
	assert.Equal(t, `{"text":"a<b>\"\n`+"\u2028"+`","int":true,"map":{"a":1,"b":2},"nil":null,"object":{ "x" : 1.0 },`+
		`"metadata":{"y": 1e2},"value":1.0,"raw":[ 1, 2.50 ],"number":1E+2,"zero":{},"na\"me":0}`, o.JSON())

	before := o
	for name, bad := range map[string]any{
		"chan": make(chan int), "nan": math.NaN(), "value": payload.Value{}, "raw": stdjson.RawMessage(`{"a":1,"a":2}`),
		"number": stdjson.Number("0x10"), "number2": stdjson.Number(" 1"), "number3": stdjson.Number("{}"), "utf8": "\xff",
		"deep": stdjson.RawMessage(deep(128)), "\xff": 1, strings.Repeat("n", 100): make(chan int),
	} {
		err := o.Set(name, bad)
		assert.ErrorContains(t, err, "payload: set member", name)
	}
	assert.Equal(t, before, o, "a failed Set changes nothing")

	o.Delete("map")
	o.Delete("missing")
	assert.Equal(t, 10, o.Len())
	assert.Equal(t, 11, before.Len(), "copies are independent")
	var single payload.Object
	require.NoError(t, single.Set("a", 1))
	single.Delete("a")
	assert.Equal(t, "{}", single.JSON())
	assert.False(t, single.IsZero())
}

func TestMetadataSet(t *testing.T) {
	t.Parallel()
	var m payload.Metadata
	require.NoError(t, m.Set("version", "2.1.0"))
	require.NoError(t, m.Set("build no", 17))
	require.NoError(t, m.Set("ratio", 0.5))
	require.NoError(t, m.Set("exact", stdjson.Number("1.0")))
	require.NoError(t, m.Set("canary", false))
	require.NoError(t, m.Set("status", payload.StatusSuccess))
	assert.Equal(t, `{"version":"2.1.0","build no":17,"ratio":0.5,"exact":1.0,"canary":false,"status":"success"}`, m.JSON())
	assert.Equal(t, 6, m.Len())
	for _, bad := range []any{nil, []int{1}, map[string]int{}, payload.Object{}, m, struct{}{}} {
		assert.ErrorContains(t, m.Set("bad", bad), "the value must be a string, number, or boolean")
	}
	assert.ErrorContains(t, m.Set("bad", make(chan int)), `payload: set metadata "bad"`)
	assert.Equal(t, 6, m.Len())
	m.Delete("ratio")
	for name := range m.All() {
		assert.NotEqual(t, "ratio", name)
	}
}

// Both JSON packages of Go find the methods on values and on pointers.
func TestGoJSON(t *testing.T) {
	t.Parallel()
	type wrapper struct {
		Event      payload.Event
		Deployment *payload.Deployment
		Metadata   payload.Metadata
		Object     payload.Object
		None       payload.Object
		Null       *payload.Event
	}
	const doc = `{"Event":{"event":"build.completed","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d","x":1e2},` +
		`"Deployment":{"deploymentId":"d","commitSha":"a1b2c","environment":"e","status":"pending",` +
		`"startedAt":"2024-01-15T00:00:00Z"},"Metadata":{"a":1.0},"Object":{"b":[null]},"None":null,"Null":null}`
	for name, pkg := range map[string]struct {
		marshal   func(any) ([]byte, error)
		unmarshal func([]byte, any) error
	}{
		"v1": {stdjson.Marshal, stdjson.Unmarshal},
		"v2": {
			func(v any) ([]byte, error) { return json.Marshal(v) },
			func(data []byte, v any) error { return json.Unmarshal(data, v) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w wrapper
			require.NoError(t, pkg.unmarshal([]byte(doc), &w))
			assert.Equal(t, payload.BuildCompleted, w.Event.Type)
			assert.Equal(t, "a1b2c", w.Deployment.CommitSHA)
			for _, v := range []any{w, &w} {
				out, err := pkg.marshal(v)
				require.NoError(t, err)
				assert.Equal(t, doc, string(out))
			}
			for _, bad := range []string{
				`{"Event":{"event":"build.completed"}}`, `{"Deployment":{"status":"done"}}`, `{"Metadata":{"a":[]}}`,
				`{"Object":7}`, `{"Event":{"event":"build.completed","event":"x"}}`,
			} {
				kept := w
				err := pkg.unmarshal([]byte(bad), &kept)
				var invalid *payload.ValidationError
				assert.True(t, errors.As(err, &invalid) || strings.Contains(err.Error(), "duplicate"), "%v", err)
				assert.Equal(t, w.Event, kept.Event)
			}
			_, err := pkg.marshal(payload.Event{})
			assert.ErrorIs(t, err, payload.ErrInvalid)
			_, err = pkg.marshal(&payload.Deployment{})
			assert.ErrorIs(t, err, payload.ErrInvalid)
		})
	}
}
