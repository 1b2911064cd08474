package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// maxAttempts bounds the attempts of a page, the latest.
const maxAttempts = 50

func isUnknownApp(err error) bool { return errors.Is(err, outbox.ErrUnknownApp) }

// deliveryView is the page of one delivery.
type deliveryView struct {
	scope
	D        row
	E        *outbox.Endpoint // nil if it was deleted
	Reason   reason
	Attempts []attemptRow
	Left     int // attempts that are not shown
	Shown    *attemptDetail
	Body     webui.Body
	Samples  []sample
	Why      string // why there are no samples
	Verify   *verdict
	// Headers and Received are what was pasted into the box.
	Headers, Received string
	Signed            bool // the scheme has a signature
}

// attemptRow is an attempt in the list.
type attemptRow struct {
	outbox.Attempt

	Spans   webui.Spans
	Result  string
	Current bool
}

// Good reports whether the attempt delivered.
func (a attemptRow) Good() bool { return a.Outcome == sender.Delivered }

// attemptDetail is the attempt that is shown.
type attemptDetail struct {
	attemptRow

	Request, Response string // headers
	Answer            webui.Body
	Problem           string
	Operator          string // what only an operator sees
}

func showDelivery(v *view) error {
	p, err := v.delivery()
	if err != nil {
		return err
	}
	return v.renderDelivery(p)
}

func (v *view) renderDelivery(p *deliveryView) error {
	return v.render(page{
		template: "delivery.html", title: string(p.D.Type), current: "Deliveries", crumbs: v.crumbs("Deliveries", "deliveries"),
		live: p.D.State == outbox.Pending || p.D.State == outbox.Delivering, data: p,
	})
}

// delivery reads all that the page shows.
func (v *view) delivery() (*deliveryView, error) {
	d, err := v.app.Delivery(v.ctx(), v.params["delivery"])
	if err != nil {
		return nil, err
	}
	attempts, err := v.app.Attempts(v.ctx(), d.ID)
	if err != nil {
		return nil, err
	}
	p := &deliveryView{scope: v.scope(), Body: webui.NewBody(d.Body)}
	names := map[string]string{}
	e, err := v.app.Endpoint(v.ctx(), d.Endpoint)
	switch {
	case err == nil:
		p.E, names[e.ID] = &e, titleOf(e)
		p.Signed = e.Scheme != outbox.SchemeBearer && e.Scheme != outbox.InsecureUnsigned
		p.Samples, p.Why = samples(d, e)
	case !errors.Is(err, outbox.ErrUnknownEndpoint):
		return nil, err
	}
	p.D = v.rows([]outbox.Delivery{d}, names)[0]
	p.Reason = reasonOf(d, p.E, attempts, v.now)
	p.Reason.Verify = p.Reason.Verify && p.Signed
	p.Attempts, p.Left = attemptRows(attempts)
	p.Shown = v.detail(p.Attempts, p.E)
	return p, nil
}

// attemptRows are the latest attempts, newest first, with bars of one scale.
func attemptRows(all []outbox.Attempt) (rows []attemptRow, left int) {
	left = max(len(all)-maxAttempts, 0)
	all = slices.Clone(all[left:])
	slices.Reverse(all)
	longest := time.Millisecond
	for _, a := range all {
		longest = max(longest, a.Timings.Total)
	}
	for _, a := range all {
		r := attemptRow{Attempt: a, Result: shortResult(a.Class, a.Status)}
		t := a.Timings
		known := t.DNS + t.Connect + t.TLS
		answer := max(min(cmpOr(t.FirstByte, t.Total), t.Total)-known, 0)
		r.Spans = webui.Spans{Name: "Timings of attempt " + strconv.Itoa(a.Number), Total: longest, Parts: []webui.Span{
			{Class: "dns", Name: "DNS", For: t.DNS},
			{Class: "connect", Name: "Connect", For: t.Connect},
			{Class: "tls", Name: "TLS", For: t.TLS},
			{Class: "wait", Name: "Wait", For: answer},
			{Class: "body", Name: "Answer", For: max(t.Total-known-answer, 0)},
		}}
		rows = append(rows, r)
	}
	return rows, left
}

func cmpOr(a, b time.Duration) time.Duration {
	if a != 0 {
		return a
	}
	return b
}

// detail is the attempt that the URL asks for, or the latest.
func (v *view) detail(rows []attemptRow, e *outbox.Endpoint) *attemptDetail {
	if len(rows) == 0 {
		return nil
	}
	chosen := 0
	for i, r := range rows {
		if strconv.Itoa(r.Number) == v.r.URL.Query().Get("attempt") {
			chosen = i
		}
	}
	rows[chosen].Current = true
	a := rows[chosen]
	request := a.RequestHeader
	if v.now.Sub(a.Start) < signatureAge {
		request = withoutSignature(request, e)
	}
	out := &attemptDetail{
		attemptRow: a, Request: headerText(request), Response: headerText(a.ResponseHeader), Answer: webui.NewBody(a.Body), Problem: a.Attempt.Problem().Text,
	}
	if v.access.Operator {
		out.Operator = strings.TrimSpace(a.Error + " " + a.Addr)
	}
	return out
}

// signatureAge is how old a signature must be before a page shows it. Receivers
// accept signatures for 5 minutes, so until then a viewer could send it.
const signatureAge = 10 * time.Minute

// withoutSignature hides the values that authenticate a request.
func withoutSignature(h http.Header, e *outbox.Endpoint) http.Header {
	h = h.Clone()
	for name := range h {
		if strings.Contains(strings.ToLower(name), "signature") || e != nil && e.SignatureHeader != "" && strings.EqualFold(name, e.SignatureHeader) {
			h[name] = []string{"[shown 10 minutes after the attempt]"}
		}
	}
	return h
}

// headerText is a header as text, sorted and bounded.
func headerText(h http.Header) string {
	var lines []string
	for name, values := range h {
		for _, value := range values {
			lines = append(lines, name+": "+value)
		}
	}
	slices.Sort(lines)
	return webui.Clip(strings.Join(lines, "\n"), webui.MaxShown)
}

// downloadBody sends the exact bytes as a file, which no browser renders.
func downloadBody(v *view) error {
	d, err := v.app.Delivery(v.ctx(), v.params["delivery"])
	if err != nil {
		return err
	}
	webui.Download(v.w, d.ID, d.Body)
	return nil
}

func resendDelivery(v *view) error {
	id := v.params["delivery"]
	if err := v.app.Replay(v.ctx(), id); err != nil {
		return err
	}
	return v.done("deliveries/"+id, "resent")
}
