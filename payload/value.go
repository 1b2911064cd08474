package payload

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Kind is the kind of a JSON value.
type Kind byte

// The kinds of JSON values. The zero Kind belongs to the zero [Value], which
// holds no JSON.
const (
	KindNone   Kind = 0
	KindNull   Kind = 'n'
	KindBool   Kind = 't'
	KindString Kind = '"'
	KindNumber Kind = '0'
	KindObject Kind = '{'
	KindArray  Kind = '['
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case KindNull:
		return "null"
	case KindBool:
		return "boolean"
	case KindString:
		return "string"
	case KindNumber:
		return "number"
	case KindObject:
		return "object"
	case KindArray:
		return "array"
	default:
		return "none"
	}
}

// A Value is one JSON value, kept byte for byte as it was written. Numbers such
// as 1e2, 1.0 and 9007199254740993 do not change. Values are immutable and can
// be shared between goroutines. Two Values are equal with == if their bytes are
// equal.
type Value struct{ text string }

// Kind returns the kind of the value.
func (v Value) Kind() Kind {
	if v.text == "" {
		return KindNone
	}
	switch c := v.text[0]; c {
	case 't', 'f':
		return KindBool
	case '"', '{', '[', 'n':
		return Kind(c)
	default:
		return KindNumber
	}
}

// JSON returns the value exactly as it was written.
func (v Value) JSON() string { return v.text }

// String returns the text of a JSON string without quotes and escapes. It
// returns any other value exactly as it was written.
func (v Value) String() string {
	if v.Kind() == KindString {
		return unquote(v.text)
	}
	return v.text
}

// Text returns the text of a JSON string, and whether the value is one.
func (v Value) Text() (string, bool) {
	if v.Kind() != KindString {
		return "", false
	}
	return unquote(v.text), true
}

// Bool returns the value of a JSON boolean, and whether the value is one.
func (v Value) Bool() (value, ok bool) { return v.text == "true", v.Kind() == KindBool }

// Int64 returns the exact value of a number that is written without fraction or
// exponent. It returns false for any other value, and for a number that an
// int64 cannot hold.
func (v Value) Int64() (int64, bool) {
	if v.Kind() != KindNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil
}

// Float64 returns the float64 nearest to a number. It returns false for any
// other value, and for a number outside the range of float64.
func (v Value) Float64() (float64, bool) {
	if v.Kind() != KindNumber {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.text, 64)
	return f, err == nil
}

// Decode stores the value in the variable that target points to, by the rules
// of encoding/json/v2.
func (v Value) Decode(target any) error {
	if v.text == "" {
		return errors.New("payload: the member is absent")
	}
	return json.Unmarshal([]byte(v.text), target)
}

// valueOf converts a Go value to JSON. Values that are JSON already keep their
// bytes.
func valueOf(value any) (Value, error) {
	switch v := value.(type) {
	case Value:
		if v.text == "" {
			return Value{}, errors.New("the zero Value is not JSON")
		}
		return v, nil
	case Object:
		return Value{v.orEmpty()}, nil
	case Metadata:
		return Value{v.object.orEmpty()}, nil
	case stdjson.RawMessage:
		return parseValue(v)
	case stdjson.Number:
		return parseNumber(v.String())
	}
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return Value{}, err
	}
	return parseValue(text)
}

// parseValue checks one JSON value by the rules of encoding/json/v2.
func parseValue(text []byte) (Value, error) {
	if !jsontext.Value(text).IsValid() {
		return Value{}, errors.New("must be valid JSON in valid UTF-8 without duplicate names")
	}
	value := string(bytes.TrimSpace(text))
	if deeperThan(value, maxMemberDepth) {
		return Value{}, fmt.Errorf("must not be nested more than %d levels deep", maxMemberDepth)
	}
	return Value{value}, nil
}

func parseNumber(text string) (Value, error) {
	value, err := parseValue([]byte(text))
	if err != nil || value.Kind() != KindNumber || strings.TrimSpace(text) != text {
		return Value{}, errors.New("must be a JSON number")
	}
	return value, nil
}
