package sendertest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/tbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/sendertest"
	"github.com/deployhook/deployhook/signer"
)

func standard(t testing.TB) *signer.Standard {
	t.Helper()
	s, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	return s
}

func message(id string) sender.Message {
	return sender.Message{ID: id, Type: payload.DeployLive, Body: []byte(`{"any":"thing"}`)}
}

// Each step is what it says to a Sender, in memory and over TCP.
func TestSteps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step   sendertest.Step
		class  sender.Class
		status int
		body   string
	}{
		"ok":       {step: sendertest.OK(), status: 200, body: `{"received":true}`},
		"status":   {step: sendertest.Status(418), class: sender.ClassStatus, status: 418},
		"gone":     {step: sendertest.Gone(), class: sender.ClassStatus, status: 410},
		"too many": {step: sendertest.TooMany(1500 * time.Millisecond), class: sender.ClassStatus, status: 429},
		"redirect": {step: sendertest.Redirect("https://a.example/"), class: sender.ClassStatus, status: 307},
		"reset":    {step: sendertest.Reset(), class: sender.ClassReset},
		"cut":      {step: sendertest.Cut(), status: 200, body: "half."},
		"not http": {step: sendertest.NotHTTP(), class: sender.ClassProtocol},
		"own":      {step: func(http.ResponseWriter, *http.Request) {}, status: 200},
	} {
		for kind, network := range map[string]func(testing.TB) *sendertest.Network{"memory": sendertest.NewNetwork, "loopback": sendertest.NewLoopback} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				n, scheme := network(t), standard(t)
				ep := n.Endpoint(c.step).Verify(scheme)
				a := n.Sender().Attempt(t.Context(), ep.To(scheme), message("whk_1"))
				require.Equal(t, c.class, a.Class, "%v", a.Err)
				require.Equal(t, c.status, a.Status)
				require.Equal(t, c.body, string(a.Body))
				ep.WantRequests(1).WantAttempts("whk_1", 1)
			})
		}
	}
}

// Steps that wait end with the sender, and with the test.
func TestSteps_Waiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, scheme := sendertest.NewNetwork(t), standard(t)
		s := n.Sender(sender.WithTimeout(10 * time.Second))
		for class, step := range map[sender.Class][]sendertest.Step{
			sender.ClassTimeout: {sendertest.Hang(), sendertest.Drip(time.Second), sendertest.Slow(11*time.Second, sendertest.OK())},
			sender.ClassNone:    {sendertest.DripBody(time.Second), sendertest.Slow(9*time.Second, sendertest.OK())},
		} {
			for i, step := range step {
				begin := time.Now()
				a := s.Attempt(t.Context(), n.Endpoint(step).To(scheme), message("whk_1"))
				require.Equal(t, class, a.Class, i)
				require.LessOrEqual(t, time.Since(begin), 10*time.Second)
				require.GreaterOrEqual(t, time.Since(begin), 9*time.Second)
			}
		}
		// These are still there when the test ends.
		for _, step := range []sendertest.Step{sendertest.Hang(), sendertest.Drip(time.Second), sendertest.DripBody(time.Second)} {
			ep := n.Endpoint(step)
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			go n.Sender(sender.WithTimeout(10*time.Minute)).Attempt(ctx, ep.To(scheme), message("whk_1"))
			ep.Wait(1, time.Minute)
		}
	})
}

// One Sender reaches several endpoints of a network, each delivery goes through
// the steps of a flaky endpoint by itself, and nothing else can be reached.
func TestNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, scheme := sendertest.NewNetwork(t), standard(t)
		s := n.Sender()
		good, flaky := n.Endpoint().Verify(scheme), n.Flaky(sendertest.Reset(), sendertest.Status(503), sendertest.OK()).Verify(scheme)
		require.NotEqual(t, good.URL, flaky.URL)
		for _, e := range sendertest.Events() {
			for _, ep := range []*sendertest.Endpoint{good, flaky} {
				_, err := s.Send(t.Context(), ep.To(scheme), e)
				require.NoError(t, err)
			}
		}
		good.WantRequests(6).WantAccepted(sendertest.Types()...)
		flaky.WantRequests(18).WantAccepted(sendertest.Types()...)
		for _, a := range flaky.Arrivals() {
			require.Equal(t, a.ID, a.Verified.ID)
			require.Equal(t, map[int]int{1: 0, 2: 503, 3: 200}[a.Attempt], a.Status)
		}
		good.Does(sendertest.Gone())
		_, err := s.Send(t.Context(), good.To(scheme), sendertest.Event(payload.DeployFailed))
		require.ErrorIs(t, err, sender.ErrGone)

		for url, class := range map[string]sender.Class{n.Unreachable(): sender.ClassConnect, "http://name.example": sender.ClassDNS, "https://93.184.216.34": sender.ClassConnect} {
			a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL(url), Signer: scheme}, message("whk_1"))
			require.Equal(t, class, a.Class, "%s: %v", url, a.Err)
		}
		stranger, err := sender.New(sender.InsecureHTTP())
		require.NoError(t, err)
		defer stranger.Close()
		require.ErrorIs(t, stranger.Attempt(t.Context(), good.To(scheme), message("whk_1")).Err, sender.ErrForbiddenAddress)
	})
}

func TestNetwork_ManyEndpoints(t *testing.T) {
	t.Parallel()
	n, scheme := sendertest.NewNetwork(t), standard(t)
	s, urls := n.Sender(), map[string]bool{}
	for range 600 {
		ep := n.Endpoint()
		urls[ep.URL] = true
		require.NoError(t, s.Attempt(t.Context(), ep.To(scheme), message("whk_1")).Err, ep.URL)
		ep.WantRequests(1)
	}
	require.Len(t, urls, 600)
}

// Endpoints on the loopback interface are there for other programs.
func TestLoopback(t *testing.T) {
	t.Parallel()
	n, scheme := sendertest.NewLoopback(t), standard(t)
	ep := n.Endpoint(sendertest.Status(500), sendertest.Slow(time.Millisecond, sendertest.OK()))
	a := n.Sender().Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL(ep.URL + "/hooks?a=b"), Signer: scheme}, message("whk_1"))
	require.Equal(t, 500, a.Status)
	require.Equal(t, "/hooks?a=b", ep.Arrivals()[0].Path)
	a = n.Sender().Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL(n.Unreachable()), Signer: scheme}, message("whk_1"))
	require.Equal(t, sender.ClassConnect, a.Class)

	hanging := n.Endpoint(sendertest.Hang())
	go func() {
		resp, err := http.Post(hanging.URL, "text/plain", strings.NewReader("{}"))
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	hanging.Wait(1, 5*time.Minute)
}

// A receiver behind the endpoint has handled the delivery, and the sender has
// not read the answer. The retry is a duplicate.
func TestLoseAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, scheme := sendertest.NewNetwork(t), standard(t)
		store, err := dedupe.NewMemory()
		require.NoError(t, err)
		rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "test"))
		require.NoError(t, err)
		handled := 0
		h := sendertest.Step(rcv.Events(func(context.Context, *payload.Event) error { handled++; return nil }).ServeHTTP)
		ep := n.Flaky(sendertest.Reset(), sendertest.LoseAnswer(h), h)
		receipt, err := n.Sender().Send(t.Context(), ep.To(scheme), sendertest.Event(payload.DeployLive))
		require.NoError(t, err)
		ep.WantAttempts(receipt.ID, 3).WantAccepted(payload.DeployLive)
		require.Equal(t, `{"received":true,"duplicate":true}`, string(receipt.Attempts[2].Body))
		require.Equal(t, 1, handled)
	})
}

// post makes an attempt that is signed for another time.
func post(t testing.TB, n *sendertest.Network, ep *sendertest.Endpoint, id string, at time.Time, body string, s signer.Signer) {
	t.Helper()
	own := n.Sender(sender.WithTimeout(time.Minute))
	a := own.Attempt(t.Context(), ep.To(signAt{s, at}), sender.Message{ID: id, Body: []byte(body)})
	require.NotZero(t, a.Status, "%v", a.Err)
}

// signAt signs with another time.
type signAt struct {
	signer.Signer
	at time.Time
}

func (s signAt) Sign(ctx context.Context, r *http.Request, id string, _ time.Time, body []byte) error {
	return s.Signer.Sign(ctx, r, id, s.at, body)
}

// An endpoint finds a sender that does it wrong.
func TestEndpoint_Finds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := standard(t)
		for want, do := range map[string]func(t testing.TB, n *sendertest.Network, ep *sendertest.Endpoint){
			"": func(t testing.TB, n *sendertest.Network, ep *sendertest.Endpoint) {
				for range 3 {
					post(t, n, ep, "whk_1", time.Now(), "{}", scheme)
				}
				post(t, n, ep, "whk_2", time.Now(), "[]", scheme)
			},
			"the body differs from that of the previous attempt": func(t testing.TB, n *sendertest.Network, ep *sendertest.Endpoint) {
				post(t, n, ep, "whk_1", time.Now(), "{}", scheme)
				post(t, n, ep, "whk_1", time.Now(), "{ }", scheme)
			},
			"the timestamp is older than the previous attempt": func(t testing.TB, n *sendertest.Network, ep *sendertest.Endpoint) {
				first := time.Now()
				post(t, n, ep, "whk_1", first, "{}", scheme)
				time.Sleep(time.Second)
				post(t, n, ep, "whk_1", time.Now(), "{}", scheme)
				time.Sleep(time.Second)
				post(t, n, ep, "whk_1", first, "{}", scheme)
			},
			"a request is not authentic (signer: request is not authentic: no key matches the signature": func(t testing.TB, n *sendertest.Network, ep *sendertest.Endpoint) {
				post(t, n, ep.Verify(scheme), "whk_1", time.Now(), "{}", standard(t))
				require.Equal(t, 401, ep.Arrivals()[0].Status)
			},
			"a request is not authentic (signer: request is not authentic: missing header": func(t testing.TB, n *sendertest.Network, ep *sendertest.Endpoint) {
				own := n.Sender()
				require.Equal(t, 401, own.Attempt(t.Context(), ep.Verify(scheme).To(sender.InsecureUnsigned()), message("whk_1")).Status)
			},
		} {
			got := tbtest.Failures(t, func(t testing.TB) {
				n := sendertest.NewNetwork(t)
				do(t, n, n.Endpoint())
			})
			if want == "" {
				require.Empty(t, got)
				continue
			}
			require.Len(t, got, 1, want)
			require.Contains(t, got[0], "sendertest: "+want)
		}
	})
}

// The text of a failure says what arrived.
func TestWants_Fail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := tbtest.Failures(t, func(t testing.TB) {
			n, scheme := sendertest.NewNetwork(t), standard(t)
			ep := n.Flaky(sendertest.Status(500), sendertest.OK())
			e := sendertest.Event(payload.DeployLive)
			e.DeliveryID = "whk_1"
			_, err := n.Sender().Send(t.Context(), ep.To(scheme), e)
			require.NoError(t, err)
			ep.WantRequests(2).WantAttempts("whk_1", 2).WantAccepted(payload.DeployLive).WantWaits(time.Second, 1500*time.Millisecond)
			ep.WantRequests(1).WantAttempts("whk_1", 3).WantAccepted().WantAccepted(payload.DeployFailed)
			ep.WantWaits().WantWaits(0, time.Millisecond)
			ep.Wait(2, 0)
			ep.WaitAccepted(1, 0)
			ep.Wait(3, time.Minute)
		})
		arrived := "\n\t1. deploy.live, attempt 1 of delivery whk_1, answered 500\n\t2. deploy.live, attempt 2 of delivery whk_1, answered 200"
		url := "http://192.0.2.1:8000"
		require.Len(t, got, 7, got)
		require.Contains(t, got[5], "sendertest: request 2 came 1.")
		require.Equal(t, []string{
			"sendertest: got 2 requests at " + url + ", want 1" + arrived,
			"sendertest: got 2 requests of delivery whk_1 at " + url + ", want 3" + arrived,
			"sendertest: " + url + " has accepted the types [deploy.live], want []" + arrived,
			"sendertest: " + url + " has accepted the types [deploy.live], want [deploy.failed]" + arrived,
			"sendertest: got 2 requests at " + url + ", want 1 with a wait before all but the first" + arrived,
			got[5],
			"sendertest: got 2 requests at " + url + " within 1m0s, want 3" + arrived,
		}, got)
		require.Equal(t, []string{"sendertest: " + url + " has accepted 0 deliveries within 1s, want 1"},
			tbtest.Failures(t, func(t testing.TB) { sendertest.NewNetwork(t).Endpoint().WaitAccepted(1, time.Second) }))
		require.Equal(t, []string{"sendertest: Sender: sender: invalid configuration: WithTimeout: 0s: want more than 0 and at most 10m0s"},
			tbtest.Failures(t, func(t testing.TB) { sendertest.NewNetwork(t).Sender(sender.WithTimeout(0)) }))
		require.Equal(t, "2 bytes, no answer", sendertest.Arrival{Body: []byte("{}")}.String())
	})
}
