package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// delivery is what the demonstration reads of a delivery.
type delivery struct {
	ID           string `json:"id"`
	Type         string `json:"type"`
	DeploymentID string `json:"deployment_id"`
	State        string `json:"state"`
	Attempts     int    `json:"attempts"`
	Body         string `json:"body"`
	Log          []struct {
		Status  int    `json:"status"`
		Body    string `json:"body"`
		Timings struct {
			TotalMS float64 `json:"total_ms"`
		} `json:"timings"`
	} `json:"attempt_log"`
}

// client calls the API.
type client struct {
	base, token string
	http        *http.Client
}

func newClient(base, token string) *client {
	return &client{base, token, &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

func (c *client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, body, out)
}

func (c *client) get(ctx context.Context, path string, out any) error {
	return c.call(ctx, http.MethodGet, path, nil, out)
}

// text returns the body of an answer, whatever its status.
func (c *client) text(ctx context.Context, path string) (string, error) {
	_, text, err := c.do(ctx, http.MethodGet, path, nil)
	return strings.TrimSpace(string(text)), err
}

func (c *client) call(ctx context.Context, method, path string, body []byte, out any) error {
	status, text, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if status >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, status, bytes.TrimSpace(text))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out, json.MatchCaseInsensitiveNames(true))
}

func (c *client) do(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return resp.StatusCode, text, err
}
