package main

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// The kinds of reports.
const (
	isReady     = "ready"     // the process works. Addr is where it listens
	isIntended  = "intended"  // an event is about to be published
	isAcked     = "acked"     // publishing it has succeeded
	isReceived  = "received"  // a request arrived. Hash is that of its body
	isHandled   = "handled"   // the handler took effect, from Begin to At
	isCompleted = "completed" // the claim in Redis was completed
	isMemory    = "memory"
	isViolation = "violation"
)

// report is one line that a process writes to its standard output. The kernel
// keeps a written line even if the process is killed.
type report struct {
	Kind     string    `json:"kind"`
	At       time.Time `json:"at"`
	Begin    time.Time `json:"begin,omitzero"`
	Addr     string    `json:"addr,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Event    string    `json:"event,omitempty"`
	Delivery string    `json:"delivery,omitempty"`
	Claim    string    `json:"claim,omitempty"`
	Hash     string    `json:"hash,omitempty"`
	Text     string    `json:"text,omitempty"`
	Memory   *memory   `json:"memory,omitempty"`
}

// reporter writes reports, each with one call. A pipe takes a short line as a
// whole or not at all.
type reporter struct {
	mu  sync.Mutex
	out *os.File
}

func (r *reporter) report(one report) {
	if one.At.IsZero() {
		one.At = time.Now()
	}
	line, err := json.Marshal(one)
	if err != nil {
		panic(err) // all fields are plain
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.out.Write(append(line, '\n')); err != nil {
		os.Exit(1) // the command has ended
	}
}

// The apps and their endpoints.
const (
	shop   = "shop"
	bakery = "bakery"
)

// subscription is an endpoint and what it gets.
type subscription struct {
	name   string // also the path of its URL and the source of its deliveries
	app    string
	events []string
}

const (
	toggled = "toggled" // the endpoint that is disabled and enabled
	rotated = "rotated" // the endpoint with changing secrets
)

// subscriptions are the endpoints of a world.
func subscriptions() []subscription {
	all := []string{"deploy.*", "build.*"} // without announcements of other endpoints
	return []subscription{
		{"steady", shop, all},
		{rotated, shop, []string{"deploy.*"}},
		{toggled, shop, all},
		{bakery, bakery, all},
	}
}

// wants reports whether the endpoint is subscribed to an event.
func (s subscription) wants(event string) bool {
	if appOf(event) != s.app {
		return false
	}
	return s.name != rotated || strings.HasPrefix(string(typeOf(event)), "deploy.")
}

// An event's ID says all about it, as in shop/build.completed/tx/sender-2-1/17.
// The fields are the app, the type, how it is published, the process and a
// number.

func appOf(event string) string { return strings.Split(event, "/")[0] }

func typeOf(event string) payload.Type { return payload.Type(strings.Split(event, "/")[1]) }

func inTransaction(event string) bool { return strings.Split(event, "/")[2] == "tx" }

// eventOf returns the event with an ID. It is the same each time.
func eventOf(id string, at time.Time) *payload.Event {
	return &payload.Event{
		Type: typeOf(id), Timestamp: at, DeploymentID: "dep/" + id, App: appOf(id), Environment: "production",
		Status: payload.StatusSuccess,
	}
}

// idOf returns the ID that an event was published with. The outbox puts it into
// the body.
func idOf(e *payload.Event) string {
	value, _ := e.Extra.Get("event_id") // the outbox sets it
	id, _ := value.Text()               // as a string
	return id
}
