package sender_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestRedirect_EndsThePipelineSchedule checks that a CI job fails at once if
// its URL has moved. The other schedules are for queues, which can wait until a
// proxy's mistake is fixed.
func TestRedirect_EndsThePipelineSchedule(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schedule sender.Schedule
		attempts int
		outcome  sender.Outcome
		is       error
	}{
		"Pipeline":         {sender.Pipeline, 1, sender.Rejected, sender.ErrRejected},
		"Pipeline, scaled": {sender.Scaled(sender.Pipeline, 0.5), 1, sender.Rejected, sender.ErrRejected},
		"Platform":         {sender.Platform, 6, sender.Failed, sender.ErrExhausted},
		"StandardWebhooks": {sender.StandardWebhooks, 10, sender.Failed, sender.ErrExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, status := range []int{300, 301, 302, 303, 304, 307, 308, 399} {
					var observed []sender.Outcome
					s := newSender(t, sender.WithSchedule(c.schedule), sender.WithObserver(func(_ context.Context, a sender.Attempt) {
						observed = append(observed, a.Outcome)
					}))
					fake(s, statuses(status))
					r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
					require.ErrorIs(t, err, c.is, status)
					require.Len(t, r.Attempts, c.attempts, status)
					require.Equal(t, c.outcome, r.Outcome, status)
					require.Equal(t, c.outcome, r.Attempts[len(r.Attempts)-1].Outcome, status)
					require.Equal(t, c.outcome, observed[len(observed)-1], status)
				}
			})
		})
	}
}

// TestRedirect_ErrorNamesTheTarget checks that the error names the host and
// never the path.
func TestRedirect_ErrorNamesTheTarget(t *testing.T) {
	t.Parallel()
	const secretPath = "/canary-path?k=canary-query"
	for name, c := range map[string]struct{ location, says string }{
		"another host":             {"https://new.example/canary-other", "redirects to https://new.example, and redirects are never followed"},
		"the same path elsewhere":  {"https://new.example" + secretPath, "redirects to the same path at https://new.example,"},
		"a path without a host":    {"/canary-elsewhere", "to another path of the same host"},
		"a slash more":             {"/canary-path/?k=canary-query", "to the same URL with a slash at its end"},
		"itself":                   {secretPath, "to itself"},
		"nothing":                  {"", "to no URL"},
		"a user and a password":    {"https://canary:canary@new.example/", "a URL that can't be shown"},
		"no web address":           {"mailto:canary@new.example", "a URL that can't be shown"},
		"a host of many lines":     {"https://new.example%0acanary/", "a URL that can't be shown"},
		"an address, and its port": {"http://192.0.2.7:8080/canary", "redirects to http://192.0.2.7:8080,"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.location != "" {
					w.Header().Set("Location", c.location)
				}
				w.WriteHeader(http.StatusPermanentRedirect)
			})
			a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL(server.URL + secretPath), Signer: standard(t)})
			require.ErrorContains(t, a.Err, "answered: 308 Permanent Redirect: it redirects to ")
			require.ErrorContains(t, a.Err, c.says)
			require.NotContains(t, a.Err.Error(), "canary")
		})
	}
}

// TestRedirect_HostThatRepeatsACredential is not shown.
func TestRedirect_HostThatRepeatsACredential(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://"+r.Header.Get("X-Api-Key")+".example/")
		w.WriteHeader(http.StatusFound)
	})
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t), Header: sender.NewHeader(http.Header{"X-Api-Key": {"Canary-Api-Key-0123"}})}
	a := attempt(t, newSender(t), ep)
	require.ErrorContains(t, a.Err, "a URL that can't be shown")
	require.NotContains(t, strings.ToLower(a.Err.Error()), "canary")
}
