package console

import (
	"fmt"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// reason says how a delivery is, and what to change.
type reason struct {
	Class  string // good, wait, bad or idle
	Text   string // one sentence
	Change string // what to do; empty for nothing
	Code   string
	Verify bool // the box that checks signatures may help
}

// changes say what a customer can do about a problem, by its code.
var changes = map[string]string{
	"host_unreachable":           "Check the host name of the endpoint's URL, and that it has a public address. Then send the delivery again.",
	"redirected":                 "Enter the URL that the endpoint redirects to, and send the delivery again.",
	"gone":                       "The endpoint was disabled because 410 says that it no longer exists. Enter another URL, or enable it again.",
	"aborted":                    "Nothing needs to change if your endpoint does not want this delivery.",
	"disabled":                   "Enable the endpoint when it wants deliveries again.",
	"throttled":                  "Set a rate limit for the endpoint, or raise the limit on your side. Retries come later by themselves.",
	"server_error":               "Look into your server's log at the time of the attempt, with the delivery ID. Then send the delivery again.",
	"status_unexpected":          "Answer 2xx once you have accepted the delivery.",
	"connection_failed":          "Check that your server runs, that the port is right, and that its firewall accepts connections from us.",
	"tls_failed":                 "Check the certificate of your server: its host name, its end and its chain. If it wants a client certificate, add one.",
	"timeout":                    "Answer within the timeout. Store the delivery, answer 2xx, and do the work afterwards.",
	"connection_closed":          "Your server or a proxy in front of it closed the connection. Look into its log at the time of the attempt.",
	"answer_invalid":             "Your server's answer is not HTTP. Check that the port is that of an HTTP server, and that the URL has https if it uses TLS.",
	"interrupted":                "Nothing. The attempt is made again.",
	"not_signed":                 "Rotate the endpoint's secret. If it stays like this, tell the platform's support.",
	"format_invalid":             "Choose another body format for the endpoint.",
	"internal":                   "Send the delivery again. If it stays like this, tell the platform's support.",
	"client_certificate_expired": "Enter a client certificate that is valid.",
}

// statusChanges are for answers with 4xx that say more.
var statusChanges = map[int]string{
	http.StatusBadRequest:            "Your endpoint could not use the body. Compare it with the event type's schema, and look into your server's log.",
	http.StatusUnauthorized:          "Your endpoint refused the signature. Check that it has the endpoint's current secret.",
	http.StatusForbidden:             "Your endpoint refused the request. Check that it has the endpoint's current secret, and that no firewall or login is in front of it.",
	http.StatusNotFound:              "Check the path of the endpoint's URL. Nothing answers there.",
	http.StatusMethodNotAllowed:      "Deliveries are POST requests. Check the path of the endpoint's URL, and which methods it takes.",
	http.StatusRequestTimeout:        "Your server waited too long for the body. Look at its timeouts.",
	http.StatusRequestEntityTooLarge: "Raise the limit for bodies on your server.",
	http.StatusUnsupportedMediaType:  "Accept the content type of the delivery. Its page shows it under “What was sent”.",
	http.StatusUnprocessableEntity:   "Your endpoint could not use the body. Compare it with the event type's schema, and look into your server's log.",
}

// reasonOf explains a delivery's state.
func reasonOf(d outbox.Delivery, e *outbox.Endpoint, attempts []outbox.Attempt, now time.Time) reason {
	p := d.Problem()
	r := reason{Code: p.Code, Class: stateTag(d.State).Class}
	switch d.State {
	case outbox.Delivered:
		r.Text = "Delivered."
		if n := len(attempts); n > 0 && attempts[n-1].Status > 0 {
			last := attempts[n-1]
			r.Text = fmt.Sprintf("Delivered. The endpoint answered %d after %s.", last.Status, webui.Duration(last.Timings.Total))
		}
		return r
	case outbox.Superseded:
		r.Text = "Not sent, because a newer event of the same deployment made it stale."
		return r
	case outbox.Canceled:
		r.Text, r.Change = "Canceled, because the endpoint was disabled or deleted before it was delivered.", ""
		if e != nil {
			r.Change = "Send it again, or send everything that the endpoint missed."
			if e.State == outbox.EndpointDisabled {
				r.Change = "Enable the endpoint. It can then get what it missed."
			}
		}
		return r
	}
	if p.Code == "" {
		return waiting(r, d, e, now)
	}
	r.Text, r.Change = p.Text, changes[p.Code]
	if p.Code == "client_error" {
		r.Text = fmt.Sprintf("The endpoint refused the request with %d %s.", d.LastStatus, http.StatusText(d.LastStatus))
		r.Change = "Look into your server's log at the time of the attempt, with the delivery ID."
		if better, ok := statusChanges[d.LastStatus]; ok {
			r.Change = better
		}
		r.Verify = d.LastStatus == http.StatusUnauthorized || d.LastStatus == http.StatusForbidden
	} else if p.Code == "server_error" || p.Code == "status_unexpected" {
		r.Text = fmt.Sprintf("The endpoint answered %d %s.", d.LastStatus, http.StatusText(d.LastStatus))
	}
	return r
}

// waiting explains a delivery without a failure.
func waiting(r reason, d outbox.Delivery, e *outbox.Endpoint, now time.Time) reason {
	switch {
	case d.State == outbox.Delivering:
		r.Text = "An attempt is in progress."
	case d.State == outbox.Failed:
		r.Text, r.Change = "Failed.", changes["internal"]
	case e != nil && e.BreakerOpenUntil.After(now):
		r.Text = "Waits, because the endpoint has failed several times in a row. It is tried again soon, and costs this delivery no attempt."
	case d.NextAt.After(now):
		r.Text = "Waits for the time of its next attempt."
	default:
		r.Text = "Waits for its turn. It is due now."
	}
	return r
}

// shortResult says in a few words how an attempt ended.
func shortResult(class sender.Class, status int) string {
	switch {
	case class == sender.ClassNone && status == 0:
		return ""
	case status > 0:
		return fmt.Sprintf("%d %s", status, http.StatusText(status))
	}
	words := map[sender.Class]string{
		sender.ClassDNS: "Host unreachable", sender.ClassPolicy: "Host unreachable", sender.ClassConnect: "No connection", sender.ClassProxy: "No connection",
		sender.ClassTLS: "TLS failed", sender.ClassTimeout: "Timeout", sender.ClassReset: "Connection closed", sender.ClassProtocol: "Not HTTP",
		sender.ClassCanceled: "Interrupted", sender.ClassSigner: "Not signed",
	}
	if text, ok := words[class]; ok {
		return text
	}
	return "Failed"
}
