package inbound

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

// rawArray reads the first elements of an array, exactly as they were written.
type rawArray struct{ values *[]payload.Value }

// UnmarshalJSONFrom implements json.UnmarshalerFrom for Value.Decode.
func (a *rawArray) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		if len(*a.values) == maxItems {
			continue
		}
		value, err := valueOf(raw)
		if err != nil {
			return err
		}
		*a.values = append(*a.values, value)
	}
	_, err := dec.ReadToken()
	return err
}

// valueOf returns a JSON text as a payload.Value. It builds an object, because
// only object members give exact values.
func valueOf(raw jsontext.Value) (payload.Value, error) {
	object, err := payload.ParseObject(append(append([]byte(`{"v":`), raw...), '}'))
	if err != nil {
		return payload.Value{}, err
	}
	value, _ := object.Get("v")
	return value, nil
}
