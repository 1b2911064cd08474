package receiver

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

// answer is a response that is decided but not yet written.
type answer struct {
	status     int
	body       string
	header     http.Header   // set by a wrapped handler, otherwise nil
	retryAfter time.Duration // zero: no Retry-After
	allow      string
	closes     bool // the body was not read to its end, so the connection cannot be reused
}

func (a answer) isSuccess() bool { return a.status >= 200 && a.status <= 299 }

// The fixed answers. Their bytes are part of the contract. Every authentication
// failure gives the same bytes, and no answer describes the receiving system.

// handledAnswer returns the reply that the handler set, or the default one.
func handledAnswer(d *Delivery, status int) answer {
	if d.reply != nil {
		return *d.reply
	}
	return answer{status: status, body: `{"received":true}`}
}

func duplicateAnswer() answer {
	return answer{status: http.StatusOK, body: `{"received":true,"duplicate":true}`}
}

func inFlightAnswer(rest time.Duration) answer {
	// Most claims end long before their lease does. The sender should not wait
	// for the whole lease.
	return answer{status: http.StatusConflict, body: `{"error":"Delivery is being handled"}`, retryAfter: min(rest, maxInFlightRetry)}
}

func methodAnswer() answer {
	return answer{status: http.StatusMethodNotAllowed, body: `{"error":"Method not allowed"}`, allow: http.MethodPost, closes: true}
}

func contentAnswer() answer {
	return answer{status: http.StatusUnsupportedMediaType, body: `{"error":"Content-Type must be application/json, without Content-Encoding"}`, closes: true}
}

func tooLargeAnswer() answer {
	return answer{status: http.StatusRequestEntityTooLarge, body: `{"error":"Request body too large"}`, closes: true}
}

func tooSlowAnswer() answer {
	return answer{status: http.StatusRequestTimeout, body: `{"error":"Request body took too long"}`, closes: true}
}

func cutAnswer() answer {
	return answer{status: http.StatusBadRequest, body: `{"error":"Request body could not be read"}`, closes: true}
}

// unauthenticAnswer has one text for signatures and one for API keys. The
// endpoint's scheme selects the text. The reason for the refusal never does.
func unauthenticAnswer(err error) answer {
	if errors.Is(err, signer.ErrInvalidAPIKey) {
		return answer{status: http.StatusUnauthorized, body: `{"error":"Invalid or missing API key"}`}
	}
	return answer{status: http.StatusUnauthorized, body: `{"error":"Invalid signature"}`}
}

func ignoredAnswer() answer {
	return answer{status: http.StatusOK, body: `{"received":true,"ignored":true}`}
}

// invalidAnswer tells the sender what is wrong with the document. Text that a
// decoder wraps around that error is only for the operator's log.
func invalidAnswer(err error) answer {
	message := "Invalid payload"
	if invalid := (*payload.ValidationError)(nil); errors.As(err, &invalid) {
		message = invalid.Error()
	}
	text, e := json.Marshal(struct {
		Error string `json:"error"`
	}{message})
	if e != nil { // marshalling a string never fails
		text = []byte(`{"error":"Invalid payload"}`)
	}
	return answer{status: http.StatusBadRequest, body: string(text)}
}

func failedAnswer() answer {
	return answer{status: http.StatusInternalServerError, body: `{"error":"Delivery was not handled"}`}
}

func unavailableAnswer() answer {
	return answer{status: http.StatusServiceUnavailable, body: `{"error":"Temporarily unavailable"}`, retryAfter: unavailableRetry}
}

const (
	maxInFlightRetry = 5 * time.Second
	unavailableRetry = 5 * time.Second
)

func (a answer) write(w http.ResponseWriter) {
	h := w.Header()
	// respond sends the answer before the server would compute the length, so
	// the length is set here. The two header values share one allocation.
	values := [...]string{"application/json", strconv.Itoa(len(a.body))}
	if a.header != nil {
		for name, values := range a.header {
			h[name] = values
		}
	} else {
		h["Content-Type"] = values[0:1:1]
	}
	if _, given := h["Content-Length"]; !given && hasLength(a.status) {
		h["Content-Length"] = values[1:2:2]
	}
	if a.retryAfter > 0 {
		// Round up to whole seconds. A sender that retries a moment too early
		// would only be refused again.
		h.Set("Retry-After", strconv.FormatInt(int64((a.retryAfter+time.Second-1)/time.Second), 10))
	}
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.closes {
		h.Set("Connection", "close")
	}
	w.WriteHeader(a.status)
	if a.body != "" {
		// The connection may be gone. The delivery's outcome does not depend on
		// it.
		_, _ = io.WriteString(w, a.body)
	}
}

// hasLength reports whether a response with that status has a Content-Length.
func hasLength(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
