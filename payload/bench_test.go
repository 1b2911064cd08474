package payload_test

import (
	"bytes"
	stdjson "encoding/json"
	"io"
	"testing"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Each benchmark has a baseline, which uses the JSON packages with a plain
// struct for the same document. The baseline does no validation and records no
// extra members or paths of failures. Compare only figures of the same run.

// plainEvent is Event as a plain struct. M is the type of the metadata.
type plainEvent[M any] struct {
	Event        string    `json:"event"`
	Timestamp    time.Time `json:"timestamp"`
	DeliveryID   string    `json:"delivery_id"`
	DeploymentID string    `json:"deployment_id"`
	App          string    `json:"app"`
	Environment  string    `json:"environment"`
	Commit       *struct {
		SHA     string `json:"sha"`
		Message string `json:"message"`
		Author  string `json:"author"`
		Branch  string `json:"branch"`
	} `json:"commit,omitempty"`
	TriggeredBy          string   `json:"triggered_by,omitempty"`
	Status               string   `json:"status,omitempty"`
	URL                  string   `json:"url,omitempty"`
	BuildDurationSeconds *float64 `json:"build_duration_seconds,omitempty"`
	ImageSizeMB          *float64 `json:"image_size_mb,omitempty"`
	CacheHit             *bool    `json:"cache_hit,omitempty"`
	ContainerID          string   `json:"container_id,omitempty"`
	HealthCheck          *struct {
		URL            string   `json:"url,omitempty"`
		StatusCode     *int     `json:"status_code,omitempty"`
		ResponseTimeMS *float64 `json:"response_time_ms,omitempty"`
		Attempts       *int     `json:"attempts,omitempty"`
	} `json:"health_check,omitempty"`
	Error           string `json:"error,omitempty"`
	Version         string `json:"version,omitempty"`
	PreviousVersion string `json:"previous_version,omitempty"`
	Rollback        *struct {
		Reason          string `json:"reason,omitempty"`
		RestoredVersion string `json:"restored_version,omitempty"`
		Automatic       *bool  `json:"automatic,omitempty"`
	} `json:"rollback,omitempty"`
	Metadata M `json:"metadata,omitempty"`
}

func BenchmarkDecodeEvent(b *testing.B) {
	doc := readFile(b, "testdata/event/valid/live.json")
	b.Run("payload", func(b *testing.B) {
		run(b, doc, func() error { _, err := payload.DecodeEvent(doc); return err })
	})
	b.Run("floor=go-json-experiment", func(b *testing.B) {
		run(b, doc, func() error { return json.Unmarshal(doc, new(plainEvent[jsontext.Value])) })
	})
	b.Run("floor=encoding-json-strict", func(b *testing.B) {
		run(b, doc, func() error {
			dec := stdjson.NewDecoder(bytes.NewReader(doc))
			dec.DisallowUnknownFields()
			dec.UseNumber()
			if err := dec.Decode(new(plainEvent[map[string]any])); err != nil {
				return err
			}
			if _, err := dec.Token(); err != io.EOF {
				return err
			}
			return nil
		})
	})
}

func BenchmarkEncodeEvent(b *testing.B) {
	doc := readFile(b, "testdata/event/valid/live.json")
	event, err := payload.DecodeEvent(doc)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("payload", func(b *testing.B) {
		run(b, doc, func() error { _, err := event.Encode(); return err })
	})
	b.Run("floor=go-json-experiment", func(b *testing.B) {
		var plain plainEvent[jsontext.Value]
		if err := json.Unmarshal(doc, &plain); err != nil {
			b.Fatal(err)
		}
		run(b, doc, func() error { _, err := json.Marshal(&plain); return err })
	})
	b.Run("floor=encoding-json", func(b *testing.B) {
		var plain plainEvent[stdjson.RawMessage]
		if err := stdjson.Unmarshal(doc, &plain); err != nil {
			b.Fatal(err)
		}
		run(b, doc, func() error { _, err := stdjson.Marshal(&plain); return err })
	})
}

func run(b *testing.B, doc []byte, once func() error) {
	b.Helper()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if err := once(); err != nil {
			b.Fatal(err)
		}
	}
}

// The floor is DecodeEvent with the same event in its own form.
func BenchmarkDecodeEventOrEnvelope(b *testing.B) {
	own := readFile(b, "testdata/event/valid/live.json")
	inEnvelope := readFile(b, "testdata/golden/envelope-of-live.json")
	b.Run("event", func(b *testing.B) {
		run(b, own, func() error { _, _, err := payload.DecodeEventOrEnvelope(own); return err })
	})
	b.Run("envelope", func(b *testing.B) {
		run(b, inEnvelope, func() error { _, _, err := payload.DecodeEventOrEnvelope(inEnvelope); return err })
	})
	b.Run("floor=DecodeEvent", func(b *testing.B) {
		run(b, own, func() error { _, err := payload.DecodeEvent(own); return err })
	})
}
