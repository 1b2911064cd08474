package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

// demoDrain is longer than the demo.
const demoDrain = time.Minute

// running is an instance that serves.
type running struct {
	*instance
	base string
	stop context.CancelFunc
}

// demo sends deliveries to two instances that share a folder.
func demo(ctx context.Context, dir string, out io.Writer) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "receive"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	fresh, old := signer.GenerateSecret(), signer.GenerateSecret()
	scheme, err := newScheme(keys{current: fresh.Reveal(), previous: old.Reveal(), cutover: time.Now().Add(time.Hour)})
	if err != nil {
		return err
	}
	oldScheme, err := signer.NewStandard(old)
	if err != nil {
		return err
	}
	unknown, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		return err
	}
	a, err := start(ctx, dir, scheme)
	if err != nil {
		return err
	}
	b, err := start(ctx, dir, scheme)
	if err != nil {
		return err
	}
	// Both still drain when the program ends.
	return walk(ctx, a, b, schemes{scheme, oldScheme, unknown}, out)
}

// schemes sign with the current, the previous and an unknown secret.
type schemes struct{ current, previous, unknown signer.Signer }

func walk(ctx context.Context, a, b *running, keys schemes, out io.Writer) error {
	show := func(step, answer string) { fmt.Fprintf(out, "%-44s %s\n", step, answer) }
	one, two, three, four := payload.NewDeliveryID(), payload.NewDeliveryID(), payload.NewDeliveryID(), payload.NewDeliveryID()
	show("a delivery to instance a", deliver(ctx, a.base+"/webhooks/deploy", keys.current, one))
	show("the same delivery to instance b", deliver(ctx, b.base+"/webhooks/deploy", keys.current, one))
	show("20 copies of the next one, to both at once", copies(ctx, a, b, keys.current, two))
	show("signed with the previous secret", deliver(ctx, a.base+"/webhooks/deploy", keys.previous, three))
	show("signed with an unknown secret", deliver(ctx, a.base+"/webhooks/deploy", keys.unknown, four))
	show("long work, through the inbox", deliver(ctx, b.base+"/webhooks/check", keys.current, one))
	show("its copy to the other instance", deliver(ctx, a.base+"/webhooks/check", keys.current, one))
	a.stop()
	ready := ""
	for ctx.Err() == nil && ready != "503" {
		ready = get(ctx, a.base+"/readyz")
	}
	show("instance a got SIGTERM; its /readyz", ready)
	show("a delivery to instance a while it drains", deliver(ctx, a.base+"/webhooks/deploy", keys.current, four))
	show("the same delivery to instance b", deliver(ctx, b.base+"/webhooks/deploy", keys.current, four))
	show("rows for the 4 accepted events", fmt.Sprint(count(ctx, b.db, "releases")))
	for ctx.Err() == nil && count(ctx, b.db, "checks") == 0 {
		select { // the first attempt fails, and the second comes 5 seconds later
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	show("long work done, at the second attempt", fmt.Sprint(count(ctx, b.db, "checks")))
	return ctx.Err()
}

func start(ctx context.Context, dir string, scheme signer.Verifier) (*running, error) {
	logger := slog.New(slog.DiscardHandler)
	i, err := open(ctx, dir, logger)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, i.close())
	}
	r := &running{instance: i, base: "http://" + l.Addr().String()}
	ctx, r.stop = context.WithCancel(ctx)
	go i.serve(ctx, l, scheme, demoDrain, logger) //nolint:errcheck // it ends with the program
	return r, nil
}

// deliver sends one event under an ID, as a sender's attempt does.
func deliver(ctx context.Context, url string, s signer.Signer, id string) string {
	body := fmt.Sprintf(`{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_%s","app":"shop","version":"v7","environment":"production"}`, id)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Content-Type", "application/json")
	if err := s.Sign(ctx, r, id, time.Now(), []byte(body)); err != nil {
		return err.Error()
	}
	return answer(r)
}

func answer(r *http.Request) string {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(text)))
}

func get(ctx context.Context, url string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	status, _, _ := strings.Cut(answer(r), " ")
	return status
}

// copies counts the answers that were not the one of a duplicate or of a
// delivery in flight.
func copies(ctx context.Context, a, b *running, s signer.Signer, id string) string {
	answers := make(chan string, 20)
	var sent sync.WaitGroup
	for n := range cap(answers) {
		base := a.base
		if n%2 == 0 {
			base = b.base
		}
		sent.Go(func() { answers <- deliver(ctx, base+"/webhooks/deploy", s, id) })
	}
	sent.Wait()
	close(answers)
	handled := 0
	for text := range answers {
		if text == `200 {"received":true}` {
			handled++
		}
	}
	return fmt.Sprint(handled, " handled, ", 20-handled, " refused as copies")
}

func count(ctx context.Context, db *sql.DB, table string) (n int) {
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		return -1
	}
	return n
}
