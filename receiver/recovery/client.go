package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
)

var (
	// ErrConfig is wrapped by every error of [New]. The text names the argument or
	// option to change.
	ErrConfig = errors.New("recovery: invalid configuration")
	// ErrToken is wrapped by the error for a token that could not be had or used.
	ErrToken = errors.New("recovery: no token")
	// ErrDenied is wrapped by the error for a log that the token can't read or use.
	// GitHub and GitLab also answer 404 then.
	ErrDenied = errors.New("recovery: the API denies access")
	// ErrRateLimited is wrapped by the error for a rate limit that lasts too long.
	ErrRateLimited = errors.New("recovery: rate limited")
	// ErrTooLarge is wrapped by the error for a log or an answer that is too long.
	ErrTooLarge = errors.New("recovery: too much to read")
	// ErrAPI is wrapped by the error for every other failure of the API, and of
	// the way to it.
	ErrAPI = errors.New("recovery: the API failed")
)

// Keys of the map that [Client.Faults] returns. The logger has its option's
// name.
const (
	inToken     = "Token"
	inTransport = "WithTransport"
	inObserver  = "WithObserver"
	inProgress  = "WithProgress"
)

// Client finds missed deliveries in one log and asks the platform to send them
// again. Make it with [New]. It is safe for concurrent use, but makes one run
// at a time.
type Client struct {
	config
	log    Log
	token  Token
	faults *contain.Faults

	running chan struct{} // has room for one run, which may use the fields below
	asked   map[string]earlier
	limiter limiter
}

// New returns a client for a log. It reports all configuration errors at once,
// and they wrap [ErrConfig]. It makes no request.
func New(log Log, token Token, opts ...Option) (*Client, error) {
	c, err := newConfig(log, token, opts)
	if err != nil {
		return nil, err
	}
	faults := contain.New("recovery", c.logger.Handler())
	c.logger = faults.Logger()
	return &Client{config: c, log: log, token: token, faults: faults, running: make(chan struct{}, 1), asked: map[string]earlier{}}, nil
}

// Faults returns how often a callback or the logger panicked, ended its
// goroutine, or did not return in time. The keys are the names of the options,
// and "Token".
func (c *Client) Faults() map[string]uint64 {
	if c == nil || c.faults == nil {
		return map[string]uint64{}
	}
	return c.faults.Counts()
}

// Recover reads the log once and asks for what is missing, the oldest first. It
// waits for rate limits and for another run of the same Client, unless ctx
// ends. Nothing is asked for until the log has been read.
//
// The result is valid with an error too, and says what was done. Its errors
// wrap [ErrToken], [ErrDenied], [ErrRateLimited], [ErrTooLarge], [ErrAPI] or
// the context's error.
func (c *Client) Recover(ctx context.Context) (Result, error) {
	if c == nil || c.faults == nil {
		return Result{}, errNotMade
	}
	return c.recover(ctx, c.since)
}

var errNotMade = fmt.Errorf("%w: the Client is nil or zero; make it with New and check its error", ErrConfig)

// Run calls [Client.Recover] every [WithInterval] until ctx ends, and then
// returns nil. Each run reads only the part of the log that the one before did
// not complete. Errors are logged and given to [WithObserver]. The caller owns
// the goroutine, and stops it with ctx.
func (c *Client) Run(ctx context.Context) error {
	if c == nil || c.faults == nil {
		return errNotMade
	}
	since := c.since
	for ctx.Err() == nil {
		result, err := c.recover(ctx, since)
		if err == nil && !c.dryRun && result.CompleteUntil.After(since) {
			since = result.CompleteUntil
		}
		if sleep(ctx, c.interval) != nil {
			break
		}
	}
	return nil
}

func (c *Client) recover(ctx context.Context, since time.Time) (Result, error) {
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	r := &run{Client: c, since: since, started: time.Now(), book: newBook(), result: Result{Missed: []Missed{}}}
	err := r.run(ctx)
	r.record(ctx, err)
	if c.observe != nil {
		result := r.result
		c.faults.CallUntil(ctx, inObserver, func() { c.observe(ctx, result, err) })
	}
	return r.result, err
}
