package payload_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
)

func Example() {
	handle := func(body []byte) error {
		event, err := payload.DecodeEvent(body)
		if err != nil {
			return err
		}
		switch event.Type {
		case payload.DeployLive:
			fmt.Printf("%s %s is live in %s\n", event.App, event.Version, event.Environment)
		case payload.DeployFailed:
			fmt.Printf("%s failed: %s\n", event.App, event.Error)
		}
		return nil
	}
	fmt.Println(handle([]byte(`{"event":"deploy.live","timestamp":"2026-03-12T14:25:02Z","deployment_id":"dep_a1b2c3d4",
		"app":"api-service","environment":"production","version":"2.1.0"}`)))
	fmt.Println(handle([]byte(`{"event":"deploy.failed","timestamp":"2026-03-12T14:25:02Z","deployment_id":"dep_a1b2c3d4",
		"app":"api-service"}`)))
	// Output:
	// api-service 2.1.0 is live in production
	// <nil>
	// Invalid payload: error is required when event is deploy.failed
}

func ExampleEvent_Encode() {
	event := payload.Event{
		Type:                 payload.BuildCompleted,
		Timestamp:            time.Date(2026, 3, 12, 14, 24, 18, 0, time.UTC),
		DeploymentID:         "dep_a1b2c3d4",
		BuildDurationSeconds: new(137.0),
		CacheHit:             new(true),
	}
	if err := event.Metadata.Set("runner", "arm64"); err != nil {
		panic(err)
	}
	body, err := event.Encode()
	fmt.Println(string(body), err)
	// Output:
	// {"event":"build.completed","timestamp":"2026-03-12T14:24:18Z","deployment_id":"dep_a1b2c3d4","build_duration_seconds":137,"cache_hit":true,"metadata":{"runner":"arm64"}} <nil>
}

func ExampleValidationError() {
	_, err := payload.DecodeDeployment([]byte(`{"deploymentId":"run-1","commitSha":"main","environment":"production",
		"status":"success","startedAt":"2024-01-15T10:30:00Z"}`))
	var invalid *payload.ValidationError
	if errors.As(err, &invalid) {
		for _, failure := range invalid.Failures {
			fmt.Printf("%s: %s\n", failure.Path, failure.Message)
		}
	}
	// Output:
	// commitSha: must be a valid hex string (5-40 characters)
	// completedAt: is required when status is a terminal state (success, failure, cancelled, rolled_back)
}

func ExampleStatus_Transition() {
	stored := payload.StatusInProgress
	for _, arrived := range []payload.Status{"success", "in_progress", "success", "failure", "rolled_back"} {
		transition := stored.Transition(arrived)
		fmt.Println(stored, "->", arrived, transition)
		if transition == payload.Legal {
			stored = arrived
		}
	}
	// Output:
	// in_progress -> success legal
	// success -> in_progress stale
	// success -> success repeated
	// success -> failure illegal
	// success -> rolled_back legal
}

func ExampleMetadata_All() {
	metadata, err := payload.ParseMetadata([]byte(`{"version":"2.1.0","build":9007199254740993,"canary":false}`))
	if err != nil {
		panic(err)
	}
	for name, value := range metadata.All() {
		fmt.Println(name, value.Kind(), value)
	}
	build, _ := metadata.Get("build")
	fmt.Println(build.Int64())
	// Output:
	// version string 2.1.0
	// build number 9007199254740993
	// canary boolean false
	// 9007199254740993 true
}

func ExampleEvent_Deployment() {
	live, err := payload.DecodeEvent([]byte(`{"event":"deploy.live","timestamp":"2026-03-12T14:25:02Z",
		"deployment_id":"dep_a1b2c3d4","app":"api-service","environment":"production","commit":{"sha":"f4c8e2a"}}`))
	if err != nil {
		panic(err)
	}
	_, err = live.Deployment(payload.Deployment{})
	fmt.Println(err)

	record, err := live.Deployment(payload.Deployment{StartedAt: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)})
	if err != nil {
		panic(err)
	}
	fmt.Println(record.Service, record.Status, record.CompletedAt.Sub(record.StartedAt))
	// Output:
	// payload: converting the event to a deployment: set the fields that the event lacks in base: Invalid payload: startedAt is required
	// api-service success 3m1s
}

func ExampleDecodeEventOrEnvelope() {
	for _, body := range []string{
		`{"event":"deploy.live","timestamp":"2026-03-12T14:25:02Z","deployment_id":"dep_1","app":"shop","environment":"production"}`,
		`{"type":"deploy.live","timestamp":"2026-03-12T14:25:02Z","data":{"deployment_id":"dep_1","app":"shop","environment":"production"}}`,
	} {
		event, envelope, err := payload.DecodeEventOrEnvelope([]byte(body))
		if err != nil {
			panic(err)
		}
		fmt.Println(event.Type, event.App, envelope != nil)
	}
	// Output:
	// deploy.live shop false
	// deploy.live shop true
}
