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

// The kinds of JSON values. The zero Kind belongs to the zero [Value], which is no JSON at all.
const (
	KindNone   Kind = 0
	KindNull   Kind = 'n'
	KindBool   Kind = 't'
	KindString Kind = '"'
	KindNumber Kind = '0'
	KindObject Kind = '{'
	KindArray  Kind = '['
)

// String is the kind's name in lower case.
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

// A Value is one JSON value, kept as the bytes it was written in: 1e2, 1.0 and 9007199254740993 stay what they are.
// Values are immutable and can be shared between goroutines. Two Values are equal with == if their bytes are.
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

// JSON returns the value as it was written.
func (v Value) JSON() string { return v.text }

// String returns the text of a JSON string without quotes and escapes, and any other value as it was written.
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

// Int64 returns the value of a number that is written as an integer, without fraction or exponent, and whether it is
// one that an int64 holds. It is exact.
func (v Value) Int64() (int64, bool) {
	if v.Kind() != KindNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil
}

// Float64 returns the float64 nearest to a number, and whether the value is a number within float64's range.
func (v Value) Float64() (float64, bool) {
	if v.Kind() != KindNumber {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.text, 64)
	return f, err == nil
}

// Decode stores the value in the variable that target points to, by the rules of encoding/json/v2.
func (v Value) Decode(target any) error {
	if v.text == "" {
		return errors.New("payload: the member is absent")
	}
	return json.Unmarshal([]byte(v.text), target)
}

// valueOf turns a Go value into JSON. Values that are JSON already keep their bytes.
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
