package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/payload"
)

// demoCase is a deployment with its expected events.
type demoCase struct {
	source, version, what string
	want                  []payload.Type
	health, watch         time.Duration // zero: the demo's default
}

var demoCases = []demoCase{
	{"hello", "v1", "compiles, runs, is healthy", []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive}, 0, 0},
	{"broken", "v2", "does not compile", []payload.Type{payload.DeployStarted, payload.DeployFailed}, 0, 0},
	{"sick", "v3", "starts and is never healthy", []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.DeployFailed, payload.DeployRolledBack}, time.Second, 0},
	{"slow", "v4", "needs two seconds", []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive}, 0, 0},
	{"crashing", "v5", "dies when it is live", []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive, payload.DeployRolledBack}, 0, time.Minute},
}

const (
	demoTime   = 10 * time.Minute // total time, on a slow machine that has never compiled net/http
	demoHealth = time.Minute
	demoWatch  = time.Second
)

// runDemo starts a real platform and a real receiver on loopback, and deploys
// every case.
func runDemo(ctx context.Context, keep bool, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "platform-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := &options{
		addr: "127.0.0.1:0", data: filepath.Join(dir, "data"), health: demoHealth, watch: demoWatch, read: demoHealth,
		networks: networks{netip.MustParsePrefix("127.0.0.0/8")}, retryScale: 0.02,
	}
	p, err := newPlatform(ctx, o, demoEnv(), slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- p.serve(serving) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served, p.close())
	}()
	d := &demo{api: newClient(p.base(), ""), out: stdout}
	defer d.api.close()
	limited, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	err = d.run(limited)
	if d.customer != nil {
		defer d.customer.close()
	}
	if err != nil || !keep {
		return err
	}
	fmt.Fprintf(stdout, "\nThe platform keeps running. Look around in %s/console/, and stop it with Ctrl-C.\n", p.base())
	<-ctx.Done()
	return nil
}

// demoEnv returns an environment with only a new sealing key.
func demoEnv() func(string) string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return func(name string) string {
		if name == "PLATFORM_SEALING_KEY" {
			return base64.StdEncoding.EncodeToString(key)
		}
		return ""
	}
}

type demo struct {
	api      *client
	out      io.Writer
	customer *customer
	versions map[string]string // by deployment ID
}

func (d *demo) run(ctx context.Context) error {
	if err := d.register(ctx); err != nil {
		return err
	}
	d.versions = map[string]string{}
	wanted := map[string][]payload.Type{}
	for _, c := range demoCases {
		id, err := d.deploy(ctx, c)
		if err != nil {
			return fmt.Errorf("deploying %s: %w", c.version, err)
		}
		wanted[id] = c.want
	}
	missing := d.customer.await(ctx, wanted)
	d.customer.print(d.out, d.versions)
	if err := d.printDeliveries(ctx); err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("not as expected: %v", missing)
	}
	total := 0
	for _, types := range wanted {
		total += len(types)
	}
	fmt.Fprintf(d.out, "\nAll %d events came, signed, verified and handled once each.\n", total)
	return nil
}

// register does the steps of a customer. It creates an app, registers an
// endpoint, and gets the secret that its events are signed with.
func (d *demo) register(ctx context.Context) (err error) {
	if err := d.api.call(ctx, http.MethodPut, "/webhooks/apps/shop", nil, nil); err != nil {
		return err
	}
	if d.customer, err = newCustomer(ctx); err != nil {
		return err
	}
	var created struct{ Secret string }
	if err := d.api.post(ctx, "/webhooks/apps/shop/endpoints", map[string]any{"url": d.customer.url(), "events": []string{"deploy.*", "build.*", "health_check.*"}}, &created); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "platform  %s\nreceiver  %s, which fails its first request and verifies every signature\n\n", d.api.base, d.customer.url())
	return d.customer.serve(created.Secret)
}

// deploy runs one case until it ends.
func (d *demo) deploy(ctx context.Context, c demoCase) (string, error) {
	fmt.Fprintf(d.out, "%-4s %-9s %-28s ", c.version, c.source, c.what)
	begun := time.Now()
	var record engine.Deployment
	err := d.api.post(ctx, "/apps/shop/deployments", map[string]any{
		"source": c.source, "version": c.version, "triggered_by": "demo",
		"health_timeout_seconds": c.health.Seconds(), "watch_seconds": c.watch.Seconds(),
		"commit": map[string]string{"sha": "f4c8e2a", "message": "release " + c.version, "author": "dana@example.com", "branch": "main"},
	}, &record)
	if err != nil {
		return "", err
	}
	d.versions[record.ID] = c.version
	for record.Step != engine.StepDone {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return "", err
		}
		if err := d.api.get(ctx, "/apps/shop/deployments/"+record.ID, &record); err != nil {
			return "", err
		}
	}
	answer, err := d.api.text(ctx, "/apps/shop/live/")
	fmt.Fprintf(d.out, "%-11s after %5.1fs; the app says: %s\n", record.Status, time.Since(begun).Seconds(), answer)
	return record.ID, err
}

// printDeliveries prints the platform's log of deliveries.
func (d *demo) printDeliveries(ctx context.Context) error {
	deliveries, err := d.deliveries(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nThe platform's log of deliveries:\n\n%-36s  %-3s %-20s %-10s %s\n", "DELIVERY", "", "EVENT", "STATE", "ATTEMPTS")
	for _, each := range deliveries {
		if err := d.api.get(ctx, "/webhooks/apps/shop/deliveries/"+each.ID, &each); err != nil {
			return err
		}
		var tries []string
		for _, a := range each.Log {
			tries = append(tries, fmt.Sprintf("%d in %.1f ms", a.Status, a.Timings.TotalMS))
		}
		fmt.Fprintf(d.out, "%-36s  %-3s %-20s %-10s %s\n", each.ID, d.versions[each.DeploymentID], each.Type, each.State, strings.Join(tries, "; "))
	}
	return nil
}

// deliveries returns the log, oldest first, when no delivery is in progress.
// The receiver has an event a moment before the platform has its answer.
func (d *demo) deliveries(ctx context.Context) ([]delivery, error) {
	for {
		var page struct{ Items []delivery }
		if err := d.api.get(ctx, "/webhooks/apps/shop/deliveries?limit=200", &page); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(page.Items, func(d delivery) bool { return d.State == "pending" || d.State == "delivering" }) {
			slices.Reverse(page.Items)
			return page.Items, nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
