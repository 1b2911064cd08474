package sender_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestDeliverFollowsTheSchedule measures the real waits in virtual time,
// attempt by attempt.
func TestDeliverFollowsTheSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, sender.WithSchedule(sender.Platform))
		fake(s, statuses(500))
		begin := time.Now()
		r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.ErrorIs(t, err, sender.ErrExhausted)
		require.Equal(t, sender.Failed, r.Outcome)
		require.Len(t, r.Attempts, 6)

		at := begin
		for i, bounds := range [][2]time.Duration{
			{0, 0},
			{10 * sec, 15 * sec},
			{30 * sec, 40 * sec},
			{2 * mnt, 150 * sec},
			{10 * mnt, 11 * mnt},
			{hr, hr},
		} {
			a := r.Attempts[i]
			require.Equal(t, i+1, a.Number)
			require.GreaterOrEqual(t, a.Start.Sub(at), bounds[0], i)
			require.LessOrEqual(t, a.Start.Sub(at), bounds[1], i)
			if i > 0 {
				require.Equal(t, a.Start.Sub(at), r.Attempts[i-1].Wait, "the wait is on record")
			}
			at = a.Start
		}
		require.Zero(t, r.Attempts[5].Wait)
	})
}

// TestDeliverSignsEachAttemptAfresh checks that each attempt has the same ID
// and bytes and a fresh timestamp.
func TestDeliverSignsEachAttemptAfresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := standard(t)
		s := newSender(t)
		var ids, times, signatures []string
		fake(s, func(n int, r *http.Request) (*http.Response, error) {
			verified, err := scheme.Verify(r, message().Body)
			require.NoError(t, err)
			ids = append(ids, verified.ID)
			times = append(times, r.Header.Get("Webhook-Timestamp"))
			signatures = append(signatures, r.Header.Get("Webhook-Signature"))
			require.Equal(t, strconv.FormatInt(time.Now().Unix(), 10), times[n-1])
			return statuses(503, 503, 200)(n, r)
		})
		r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: scheme}, message())
		require.NoError(t, err)
		require.Equal(t, sender.Delivered, r.Outcome)
		require.Len(t, r.Attempts, 3)
		require.Equal(t, []string{message().ID, message().ID, message().ID}, ids)
		require.NotEqual(t, times[0], times[1])
		require.NotEqual(t, times[1], times[2])
		require.NotEqual(t, signatures[0], signatures[1])
		require.NotEqual(t, signatures[1], signatures[2])
	})
}

// TestOutcomes is the table of answers.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for status := 200; status <= 599; status++ {
		want, stop := sender.Failed, sender.Failed
		switch {
		case status <= 299:
			want, stop = sender.Delivered, sender.Delivered
		case status == 410:
			want, stop = sender.Gone, sender.Gone
		case status >= 400 && status <= 499 && status != 408 && status != 409 && status != 425 && status != 429:
			stop = sender.Rejected
		}
		for _, c := range []struct {
			outcome sender.Outcome
			opts    []sender.Option
		}{{want, nil}, {stop, []sender.Option{sender.WithStopOnClientError()}}} {
			s := newSender(t, c.opts...)
			fake(s, statuses(status))
			a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)})
			require.Equal(t, c.outcome, a.Outcome, "%d with %d options", status, len(c.opts))
			require.Equal(t, status, a.Status)
			if a.Outcome == sender.Delivered {
				require.NoError(t, a.Err)
				require.Equal(t, sender.ClassNone, a.Class)
				continue
			}
			require.Equal(t, sender.ClassStatus, a.Class)
			var failure *sender.AttemptError
			require.ErrorAs(t, a.Err, &failure)
			require.Equal(t, status, failure.Status)
			require.ErrorContains(t, a.Err, "POST https://a.example: answered: "+strconv.Itoa(status))
		}
	}
}

func TestDeliverStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers  transport
		opts     []sender.Option
		outcome  sender.Outcome
		attempts int
		is       error
	}{
		"delivered":   {statuses(204), nil, sender.Delivered, 1, nil},
		"in the end":  {statuses(500, 404, 503, 299), nil, sender.Delivered, 4, nil},
		"gone":        {statuses(410), nil, sender.Gone, 1, sender.ErrGone},
		"gone later":  {statuses(500, 410), nil, sender.Gone, 2, sender.ErrGone},
		"exhausted":   {statuses(500), nil, sender.Failed, 7, sender.ErrExhausted},
		"401 retried": {statuses(401), nil, sender.Failed, 7, sender.ErrExhausted},
		"401 stops":   {statuses(401), []sender.Option{sender.WithStopOnClientError()}, sender.Rejected, 1, sender.ErrRejected},
		"once":        {statuses(500), []sender.Option{sender.WithSchedule(sender.Once)}, sender.Failed, 1, sender.ErrExhausted},
		"429 does not stop": {
			statuses(429, 408, 425, 409, 200),
			[]sender.Option{sender.WithStopOnClientError()},
			sender.Delivered, 5, nil,
		},
		"network": {
			func(int, *http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET },
			nil, sender.Failed, 7, syscall.ECONNRESET,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSender(t, c.opts...)
				calls := fake(s, c.answers)
				r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
				require.Equal(t, c.outcome, r.Outcome)
				require.Len(t, r.Attempts, c.attempts)
				require.EqualValues(t, c.attempts, calls.n.Load())
				if c.is == nil {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, c.is)
				var failure *sender.DeliveryError
				require.ErrorAs(t, err, &failure)
				require.Same(t, r, failure.Receipt)
				require.Equal(t, "https://a.example", failure.Endpoint)
				var last *sender.AttemptError
				require.ErrorAs(t, err, &last, "the last attempt's error")
			})
		})
	}
}

// TestDeliverKeepsALimitedRecord checks that an endless schedule does not make
// an endless receipt.
func TestDeliverKeepsALimitedRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, sender.WithSchedule(func() backoff.BackOff { return backoff.NewConstantBackOff(sec) }))
		fake(s, func(n int, _ *http.Request) (*http.Response, error) {
			if n < 100 {
				return answer(500)
			}
			return answer(200)
		})
		r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.NoError(t, err)
		require.Len(t, r.Attempts, 32)
		require.Equal(t, 69, r.Attempts[0].Number)
		require.Equal(t, 100, r.Attempts[31].Number)
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("the deploy was superseded")
	for name, c := range map[string]struct {
		end func(context.Context, *sender.Sender) context.Context
		is  []error
	}{
		"cancel": {func(ctx context.Context, _ *sender.Sender) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx
		}, []error{context.Canceled}},
		"cancel with cause": {func(ctx context.Context, _ *sender.Sender) context.Context {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
			return ctx
		}, []error{context.Canceled, cause}},
		"close": {func(ctx context.Context, s *sender.Sender) context.Context {
			time.AfterFunc(100*time.Millisecond, func() { _ = s.Close() })
			return ctx
		}, []error{sender.ErrClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSender(t, sender.WithSchedule(sender.Platform))
				fake(s, statuses(500))
				begin := time.Now()
				r, err := s.Deliver(c.end(t.Context(), s), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
				require.Equal(t, 100*time.Millisecond, time.Since(begin), "at once")
				require.Equal(t, sender.Canceled, r.Outcome)
				require.Len(t, r.Attempts, 1)
				require.Equal(t, sender.Failed, r.Attempts[0].Outcome)
				for _, is := range c.is {
					require.ErrorIs(t, err, is)
				}
				require.NotErrorIs(t, err, sender.ErrExhausted)
			})
		})
	}
}

// TestNoWaitInVain checks that Deliver returns at once if the next attempt
// would come after the deadline.
func TestNoWaitInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, sender.WithSchedule(sender.Platform))
		fake(s, statuses(500))
		ctx, cancel := context.WithTimeout(t.Context(), 20*sec)
		defer cancel()
		begin := time.Now()
		r, err := s.Deliver(ctx, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "500", "the last answer says more than the deadline")
		require.NoError(t, ctx.Err(), "not waited for")
		require.Less(t, time.Since(begin), 16*sec)
		require.Len(t, r.Attempts, 2)
		require.Zero(t, r.Attempts[1].Wait)
		require.Equal(t, sender.Failed, r.Outcome)
	})
}

func TestContextEndsAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t)
		calls := fake(s, func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		r, err := s.Deliver(ctx, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, sender.Canceled, r.Outcome)
		require.Equal(t, sender.ClassCanceled, r.Attempts[0].Class)

		a := s.Attempt(ctx, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.Equal(t, sender.Canceled, a.Outcome, "a context that has ended")
		require.EqualValues(t, 1, calls.n.Load(), "is not even tried")
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		opts     []sender.Option
		endpoint time.Duration
		want     time.Duration
	}{
		{nil, 0, 15 * sec},
		{[]sender.Option{sender.WithTimeout(3 * sec)}, 0, 3 * sec},
		{[]sender.Option{sender.WithTimeout(3 * sec)}, 4 * sec, 4 * sec},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSender(t, c.opts...)
			fake(s, func(_ int, r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t), Timeout: c.endpoint}, message())
			require.Equal(t, sender.Failed, a.Outcome)
			require.Equal(t, sender.ClassTimeout, a.Class)
			require.ErrorIs(t, a.Err, context.DeadlineExceeded)
			require.Equal(t, c.want, a.Timings.Total)
		})
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	calls := fake(s, statuses(200))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
	require.ErrorIs(t, err, sender.ErrClosed)
	require.Equal(t, sender.Canceled, r.Outcome)
	require.Zero(t, calls.n.Load())
}

// TestRetryAfterDelays checks that Retry-After counts if it is longer than the
// schedule's wait, up to the cap.
func TestRetryAfterDelays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		value  string
		opts   []sender.Option
		want   time.Duration // Attempt.RetryAfter
		wait   [2]time.Duration
	}{
		"503 longer":   {503, "60", nil, mnt, [2]time.Duration{mnt, mnt}},
		"429 longer":   {429, "60", nil, mnt, [2]time.Duration{mnt, mnt}},
		"500 too":      {500, "60", nil, mnt, [2]time.Duration{mnt, mnt}},
		"shorter":      {503, "1", nil, sec, [2]time.Duration{10 * sec, 15 * sec}},
		"capped":       {503, "86400", nil, 5 * mnt, [2]time.Duration{5 * mnt, 5 * mnt}},
		"higher cap":   {503, "86400", []sender.Option{sender.WithMaxRetryAfter(25 * hr)}, 24 * hr, [2]time.Duration{24 * hr, 24 * hr}},
		"ignored":      {503, "86400", []sender.Option{sender.WithMaxRetryAfter(0)}, 0, [2]time.Duration{10 * sec, 15 * sec}},
		"nonsense":     {503, "1e300", nil, 0, [2]time.Duration{10 * sec, 15 * sec}},
		"overflow":     {503, "99999999999999999999999", nil, 5 * mnt, [2]time.Duration{5 * mnt, 5 * mnt}},
		"4xx and CI":   {400, "60", []sender.Option{sender.WithStopOnClientError()}, mnt, [2]time.Duration{mnt, mnt}},
		"date":         {503, "Sat, 01 Jan 2000 00:00:30 GMT", nil, 30 * sec, [2]time.Duration{30 * sec, 30 * sec}},
		"date is past": {503, "Fri, 31 Dec 1999 23:00:00 GMT", nil, 0, [2]time.Duration{10 * sec, 15 * sec}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01 00:00:00
				s := newSender(t, append(c.opts, sender.WithSchedule(sender.Platform))...)
				fake(s, func(n int, _ *http.Request) (*http.Response, error) {
					if n > 1 {
						return answer(200)
					}
					return answer(c.status, "Retry-After", c.value)
				})
				r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
				require.NoError(t, err)
				require.Equal(t, c.want, r.Attempts[0].RetryAfter)
				require.GreaterOrEqual(t, r.Attempts[0].Wait, c.wait[0])
				require.LessOrEqual(t, r.Attempts[0].Wait, c.wait[1])
				require.Equal(t, r.Attempts[0].Wait, r.Attempts[1].Start.Sub(r.Attempts[0].Start))
			})
		})
	}
}

func TestObserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []sender.Attempt
		s := newSender(t, sender.WithObserver(func(_ context.Context, a sender.Attempt) { seen = append(seen, a) }))
		fake(s, statuses(500, 200))
		r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.NoError(t, err)
		require.Equal(t, r.Attempts, seen)
		require.Positive(t, seen[0].Wait)
		s.Attempt(t.Context(), sender.Endpoint{}, message())
		require.Len(t, seen, 3, "refusals, too")
	})
}

func TestRecordsAreJSON(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	fake(s, statuses(410))
	a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)})
	a.Err = nil
	_, err := json.Marshal(a)
	require.NoError(t, err)
}

func TestTimeoutIsTheConfiguredOne(t *testing.T) {
	t.Parallel()
	require.Equal(t, sender.DefaultTimeout, newSender(t).Timeout())
	require.Equal(t, time.Second, newSender(t, sender.WithTimeout(time.Second)).Timeout())
}
