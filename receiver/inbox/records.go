package inbox

import (
	"cmp"
	"context"
	"net/http"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// recordMember is the member of a stored event that has the record that the
// event was made of.
const recordMember = "deployhook_record"

// Records is [Inbox.Handler] for the webhooks of another system. The packages
// under payload make the verifier and the decoder. Events that are not about a
// deployment are answered with 200 {"received":true,"ignored":true} and not
// stored.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("GITHUB_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := github.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := github.NewDecoder()
//	if err != nil {
//		return err
//	}
//	hook, err := in.Records(verifier, "github", decode)
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/github", hook)
//
// The inbox's handler gets the event of [payload.Deployment.Event], and finds
// the record itself in the Deployment of [receiver.FromContext]. The Body there
// is the event, because only the record is stored. Its RawPayload has what the
// other system sent, if the decoder keeps it.
//
// An event needs two fields that a record may lack. Error is then "deployment
// failed", and PreviousVersion is the previous commit or "unknown". A record
// without a service gets the answer 400, because an event needs its app.
func (in *Inbox) Records(v signer.Verifier, source string, decode receiver.RecordDecoder, opts ...receiver.Option) (http.Handler, error) {
	if decode == nil {
		return nil, configError("Records: the decoder is nil; check the error of NewDecoder")
	}
	rcv, err := in.receiver("Records", v, source, opts)
	if err != nil {
		return nil, err
	}
	return rcv.Records(convertible(decode), func(ctx context.Context, record *payload.Deployment) error {
		d, _ := receiver.FromContext(ctx)
		e, err := eventOf(record)
		if err != nil {
			return err
		}
		a := newArrival(source, d, e)
		if a.body, err = e.Encode(); err != nil {
			return err
		}
		return in.accept(ctx, a)
	}), nil
}

// convertible refuses a record that cannot become an event. The sender then
// gets 400 and the reason.
func convertible(decode receiver.RecordDecoder) receiver.RecordDecoder {
	return func(ctx context.Context, body []byte) (*payload.Deployment, error) {
		record, err := decode(ctx, body)
		if err != nil || record == nil {
			return nil, err
		}
		if _, err := eventOf(record); err != nil {
			return nil, err
		}
		return record, nil
	}
}

// eventOf returns the event that is stored for a record. It contains the
// record.
func eventOf(record *payload.Deployment) (*payload.Event, error) {
	var base payload.Event
	switch record.Status {
	case payload.StatusFailure:
		base.Error = "deployment failed"
	case payload.StatusRolledBack:
		base.PreviousVersion = cmp.Or(record.PreviousCommitSHA, "unknown")
	}
	if err := base.Extra.Set(recordMember, record); err != nil {
		return nil, err
	}
	return record.Event(base)
}

// deploymentOf returns the record that an event was made of, or nil if it was
// made of none.
func deploymentOf(e *payload.Event) *payload.Deployment {
	stored, ok := e.Extra.Get(recordMember)
	if !ok {
		return nil
	}
	record, err := payload.DecodeDeployment([]byte(stored.JSON()))
	if err != nil { // not written by eventOf
		return nil
	}
	return record
}
