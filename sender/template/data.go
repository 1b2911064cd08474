package template

import (
	"fmt"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/internal/chat"
)

// Data is what templates see as dot. Members that an event lacks are empty.
type Data struct {
	Type    string // deploy.rolled_back
	Title   string // DEPLOY ROLLED BACK
	Summary string // DEPLOY FAILED: shop 2.1 in production: the first line of the error
	Level   string // good, bad, warning (an earlier version is back) or info
	Color   Color  // #36a64f; see WithColor

	App             string
	Environment     string
	Status          string
	Version         string
	PreviousVersion string
	RestoredVersion string
	RollbackReason  string
	Error           string

	Commit      string // the whole hash
	ShortCommit string // its first 12 digits
	Message     string // the whole commit message
	Author      string
	Branch      string
	TriggeredBy string

	URL          Link // where the app answers
	Timestamp    string
	DeploymentID string
	DeliveryID   string
	ContainerID  string

	metadata payload.Metadata
}

// Link is an address that is safe to insert unescaped. It is http or https and
// ASCII, without user information and without any character that ends a link in
// JSON, Markdown or HTML. An event's URL that can't be written so is left out.
type Link string

// Color is # and six hexadecimal digits, and inserted as it is.
type Color string

// Metadata returns a member of the event's metadata as text, or an empty text
// if it is absent.
func (d Data) Metadata(name string) string {
	v, ok := d.metadata.Get(name)
	if !ok {
		return ""
	}
	if text, ok := v.Text(); ok {
		return text
	}
	return v.JSON()
}

const maxLink = 2048

func (f *Format) data(e *payload.Event) Data {
	d := Data{
		Type: string(e.Type), Title: chat.Title(e), Summary: chat.Summary(e),
		Level: level(e), Color: Color(fmt.Sprintf("#%06x", f.look.Color(e))),
		App: e.App, Environment: e.Environment, Status: string(e.Status), Version: e.Version,
		PreviousVersion: e.PreviousVersion, Error: e.Error, TriggeredBy: e.TriggeredBy,
		URL:       Link(strings.NewReplacer("(", "%28", ")", "%29", "'", "%27").Replace(chat.Link(e.URL, maxLink))),
		Timestamp: e.Timestamp.UTC().Format(time.RFC3339), DeploymentID: e.DeploymentID, DeliveryID: e.DeliveryID,
		ContainerID: e.ContainerID, metadata: e.Metadata,
	}
	if r := e.Rollback; r != nil {
		d.RestoredVersion, d.RollbackReason = r.RestoredVersion, r.Reason
	}
	if c := e.Commit; c != nil {
		d.Commit, d.ShortCommit, d.Message = c.SHA, c.SHA[:min(len(c.SHA), 12)], c.Message
		d.Author, d.Branch = c.Author, c.Branch
	}
	return d
}

func level(e *payload.Event) string {
	switch chat.LevelOf(e) {
	case chat.Good:
		return "good"
	case chat.Warning:
		return "warning"
	case chat.Bad:
		return "bad"
	default:
		return "info"
	}
}

// samples are sparse and full events of all types, so that each condition on a
// field runs both ways.
func samples() []*payload.Event {
	var list []*payload.Event
	for _, t := range []payload.Type{
		payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed,
		payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack, "sample.custom",
	} {
		at := time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
		sparse := &payload.Event{Type: t, Timestamp: at, DeploymentID: "dep_1", DeliveryID: "whk_1"}
		full := &payload.Event{
			Type: t, Timestamp: at, DeploymentID: "dep_1", DeliveryID: "whk_1",
			App: "shop", Environment: "production", Status: payload.StatusSuccess, Version: "2.1.0", PreviousVersion: "2.0.0",
			Error: "boom", TriggeredBy: "git_push", URL: "https://shop.example/", ContainerID: "c1",
			Commit:   &payload.Commit{SHA: "f4c8e2a", Message: "fix", Author: "dana", Branch: "main"},
			Rollback: &payload.Rollback{Reason: "errors", RestoredVersion: "2.0.0", Automatic: new(true)},
		}
		list = append(list, sparse, full)
	}
	return list
}
