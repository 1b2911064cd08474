// Package documents stores several documents of package payload in one text,
// each kept to the byte.
package documents

import "encoding/json"

// Encode returns a JSON array of the documents.
func Encode[D interface{ Encode() ([]byte, error) }](list []D) ([]byte, error) {
	text := []byte{'['}
	for i, d := range list {
		if i > 0 {
			text = append(text, ',')
		}
		one, err := d.Encode()
		if err != nil {
			return nil, err
		}
		text = append(text, one...)
	}
	return append(text, ']'), nil
}

// Decode reads the output of Encode.
func Decode[D any](text []byte, decode func([]byte) (*D, error)) ([]*D, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	var list []*D
	for _, one := range raw {
		d, err := decode(one)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}
