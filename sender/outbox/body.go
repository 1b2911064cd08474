package outbox

import (
	"bytes"
	"context"
	"strings"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// encoding says how the bytes of a delivery's body are made of what is stored.
// The values are stored. What a value means must never change, since all
// attempts of a delivery have the same bytes, also after an update of this
// package.
type encoding int64

const (
	// noBody means that the delivery can't be sent. The format could not express
	// the event, or the body was erased.
	noBody encoding = iota
	// jsonBody is the stored event with the delivery's ID put in as its first
	// member.
	jsonBody
	// ownBody is stored for the delivery alone.
	ownBody
	// envelopeBody is the stored event in a Standard Webhooks envelope, with the
	// delivery's ID put in as the first member of data.
	envelopeBody
)

// builtin returns the encoding of a format that needs no [WithFormat]. All its
// deliveries of an event share the stored event.
func builtin(format string) (e encoding, ok bool) {
	switch format {
	case FormatJSON:
		return jsonBody, true
	case FormatEnvelope:
		return envelopeBody, true
	default:
		return noBody, false
	}
}

// body returns the bytes to send.
func (e encoding) body(delivery string, stored []byte) []byte {
	switch {
	case len(stored) < 2:
		return stored
	case e == envelopeBody:
		return inEnvelope(delivery, stored)
	case e != jsonBody:
		return stored
	}
	first := `{"delivery_id":"` + delivery + `",`
	body := make([]byte, 0, len(first)+len(stored)-1)
	return append(append(body, first...), stored[1:]...)
}

// inEnvelope moves the members after event and timestamp into data. A stored
// event begins with these two, and neither has an escape, because its type has
// only letters, digits, dots and _.
func inEnvelope(delivery string, stored []byte) []byte {
	const (
		event = `{"event":"`
		when  = `","timestamp":"`
		data  = `","data":{"delivery_id":"`
	)
	typ, rest, found := bytes.Cut(bytes.TrimPrefix(stored, []byte(event)), []byte(when))
	at, members, ended := bytes.Cut(rest, []byte(`",`))
	if !found || !ended {
		return nil // never stored
	}
	body := make([]byte, 0, len(stored)+len(data)+len(delivery)+3)
	body = append(append(body, `{"type":"`...), typ...)
	body = append(append(body, when...), at...)
	body = append(append(body, data...), delivery...)
	return append(append(append(body, `",`...), members...), '}')
}

// joinBody joins outbox_delivery d with its row of outbox_body b.
const joinBody = ` LEFT JOIN {schema}outbox_body b ON b.app = d.app AND b.event = d.event
	AND b.delivery = CASE WHEN d.encoding = 2 THEN d.id ELSE '' END`

// insertBodies stores the bodies of deliveries that have their own.
func insertBodies(ctx context.Context, tx *jobdb.Tx, rows []*newDelivery) error {
	const row = `(?, ?, ?, ?, ?, ?)`
	var args []any
	for _, n := range rows {
		if n.encoding == ownBody {
			args = append(args, n.app, n.event, n.id, micros(n.createdAt), n.body, n.trace)
		}
	}
	if len(args) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO {schema}outbox_body (app, event, delivery, created_at, body, trace) VALUES `+
		row+strings.Repeat(", "+row, len(args)/6-1), args...)
	return err
}
