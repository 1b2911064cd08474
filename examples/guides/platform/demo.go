package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/signer"
)

// client calls the platform's API.
type client struct {
	base string
	out  io.Writer
}

// demo lets two tenants use the API of a platform.
func demo(ctx context.Context, dir string, out io.Writer) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "platform"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	key, err := randomKey()
	if err != nil {
		return err
	}
	logger := slog.New(slog.DiscardHandler)
	p, err := open(ctx, database{dir: dir}, key, logger, sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))) // for the demo's receiver
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, p.close())
	}
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	operator, admin, viewer := p.token(api.Access{Operator: true}), p.token(api.Access{App: "shop"}), p.token(api.Access{App: "shop", ReadOnly: true})
	go func() { done <- p.serve(serving, l, 0, logger) }()
	c := client{base: "http://" + l.Addr().String(), out: out}
	err = c.walk(ctx, p, operator, admin, viewer)
	stop()
	return errors.Join(err, <-done, p.close())
}

// token returns a token with rights.
func (p *platform) token(access api.Access) string {
	token := rand.Text()
	p.tokens[sha256.Sum256([]byte(token))] = access
	return token
}

func (c client) walk(ctx context.Context, p *platform, operator, admin, viewer string) error {
	hook, err := startReceiver(ctx)
	if err != nil {
		return err
	}
	defer hook.server.Close()
	c.call(ctx, "operator registers shop", operator, "PUT", "/webhooks/apps/shop", "", nil)
	c.call(ctx, "operator registers blog", operator, "PUT", "/webhooks/apps/blog", "", nil)
	var made struct {
		Endpoint struct{ ID string }
		Secret   string
	}
	body := fmt.Sprintf(`{"url": %q, "events": ["deploy.*"]}`, hook.url)
	c.call(ctx, "shop creates an endpoint", admin, "POST", "/webhooks/apps/shop/endpoints", body, &made)
	c.call(ctx, "shop creates one with a private address", admin, "POST", "/webhooks/apps/shop/endpoints", `{"url": "https://10.0.0.7/hook", "events": ["*"]}`, nil)
	c.call(ctx, "shop lists the endpoints of blog", admin, "GET", "/webhooks/apps/blog/endpoints", "", nil)
	c.call(ctx, "shop's read-only token creates an endpoint", viewer, "POST", "/webhooks/apps/shop/endpoints", body, nil)
	c.call(ctx, "shop opens the console", admin, "GET", "/console/", "", nil)
	c.call(ctx, "a stranger opens the console", "unknown", "GET", "/console/", "", nil)
	if err := errors.Join(p.deployed(ctx, "shop", "dep_1", "v1"), p.deployed(ctx, "blog", "dep_2", "v1")); err != nil {
		return err
	}
	old := made.Secret
	c.show("shop's receiver got", hook.next(ctx, "the first secret", old))
	endpoint := "/webhooks/apps/shop/endpoints/" + made.Endpoint.ID
	c.call(ctx, "shop rotates the secret", admin, "POST", endpoint+"/rotate", `{"grace_seconds": 86400}`, &made)
	if err := p.deployed(ctx, "shop", "dep_3", "v2"); err != nil {
		return err
	}
	c.show("shop's receiver got", hook.next(ctx, "the first secret", old, "the second secret", made.Secret))
	last, err := p.lastDelivered(ctx, "shop")
	if err != nil {
		return err
	}
	c.call(ctx, "shop reads its deliveries", viewer, "GET", "/webhooks/apps/shop/deliveries", "", nil)
	c.call(ctx, "shop sends the last one again", admin, "POST", "/webhooks/apps/shop/deliveries/"+last+"/resend", "", nil)
	c.show("shop's receiver got", hook.next(ctx, "the second secret", made.Secret))
	return ctx.Err()
}

// lastDelivered returns the tenant's latest delivery. It waits until the outbox
// has recorded the answer, because a resend of a pending delivery only hurries
// it.
func (p *platform) lastDelivered(ctx context.Context, tenant string) (id string, err error) {
	for {
		page, err := p.outbox.App(tenant).Deliveries(ctx, outbox.DeliveryFilter{}, outbox.Page{Limit: 1})
		if err != nil {
			return "", err
		}
		if len(page.Items) == 1 && page.Items[0].State == outbox.Delivered {
			return page.Items[0].ID, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c client) show(step, result string) { fmt.Fprintf(c.out, "%-44s %s\n", step, result) }

// call prints the status of an answer, and the code of a problem.
func (c client) call(ctx context.Context, step, token, method, path, body string, into any) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.show(step, err.Error())
		return
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	httpClient := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := httpClient.Do(r)
	if err != nil {
		c.show(step, err.Error())
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	var problem struct{ Code string }
	if resp.StatusCode >= 400 {
		_ = json.Unmarshal(text, &problem) // a page of the console is not JSON
	}
	result := strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", problem.Code))
	if err != nil {
		result += ": " + err.Error()
	}
	c.show(step, result)
}

// delivery is what a receiver got.
type delivery struct {
	request *http.Request
	body    []byte
}

// hook is the server of a tenant.
type hook struct {
	server *http.Server
	url    string
	got    chan delivery
}

func startReceiver(ctx context.Context) (*hook, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hook{url: "http://" + l.Addr().String() + "/hook", got: make(chan delivery, 10)}
	h.server = &http.Server{ReadHeaderTimeout: service.DefaultHeaderTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err == nil {
			h.got <- delivery{r.Clone(context.WithoutCancel(r.Context())), body.Bytes()}
		}
		w.WriteHeader(http.StatusNoContent)
	})}
	go h.server.Serve(l) //nolint:errcheck // it ends with Close
	return h, nil
}

// next returns the next delivery and which of the secrets have signed it.
// secrets has pairs of a name and a secret.
func (h *hook) next(ctx context.Context, secrets ...string) string {
	select {
	case <-ctx.Done():
		return ctx.Err().Error()
	case d := <-h.got:
		var event struct{ Event, App, Version string }
		if err := json.Unmarshal(d.body, &event); err != nil {
			return err.Error()
		}
		var valid []string
		for i := 0; i < len(secrets); i += 2 {
			secret, err := signer.ParseSecret(secrets[i+1])
			if err != nil {
				return err.Error()
			}
			scheme, err := signer.NewStandard(secret)
			if err != nil {
				return err.Error()
			}
			if _, err := scheme.Verify(d.request, d.body); err == nil {
				valid = append(valid, secrets[i])
			}
		}
		return fmt.Sprint(event.Event, " of ", event.App, " ", event.Version, ", signed with ", strings.Join(valid, " and "))
	}
}
