package cdevents_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

const documents = 1500

// words are names that purls, headers and JSON each encode differently.
var words = []string{"shop", "a/b", "a b", "é😀", `q"\`, "100%", "%41", "a@b", "x?y#z", "<&>", ":", ".", "\u2028", "a+b"}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func raw(r *rand.Rand) string {
	return fmt.Sprintf(`{"n":%s, "s":%s,"o":{ "a":[1 , null] }}`, pick(r, "1e2", "1.0", "9007199254740993", "-0"),
		pick(r, `"\u00e9"`, `"<&>"`, `"\/"`, `""`))
}

func moment(r *rand.Rand) time.Time { return time.Unix(r.Int64N(4e9), r.Int64N(1e9)).UTC() }

func TestDeploymentRoundTrips(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range documents {
		d := &payload.Deployment{
			DeploymentID: pick(r, words...) + "-1", CommitSHA: pick(r, commit, "ABCDE", "12345"), Environment: pick(r, words...),
			Status: pick(r, payload.StatusPending, payload.StatusInProgress, payload.StatusSuccess, payload.StatusFailure,
				payload.StatusCancelled, payload.StatusRolledBack),
			StartedAt: moment(r), CompletedAt: moment(r), Service: pick(r, words...), Branch: pick(r, "", "main"),
			PreviousCommitSHA: pick(r, words...), PipelineName: pick(r, append(words, "")...),
			PipelineURL: pick(r, "", "https://ci.example/a%7Cb", "https://é.example/%zz", "http://[::1]", "HTTPS://CI:80/"),
			TriggeredBy: pick(r, words...), RepositoryURL: pick(r, "", "https://git.example/acme/shop"),
			Version: pick(r, append(words, "")...), RollbackOf: pick(r, "", "run-6"),
			ArtifactDigest: pick(r, "", "sha256:c0ffee"), IncidentURL: pick(r, "", "https://acme.example/7"),
			Commits: pick(r, nil, []payload.RepositoryCommit{{RepositoryURL: "https://git.example/acme/web", CommitSHA: commit}}),
		}
		require.NoError(t, d.RawPayload.UnmarshalJSON([]byte(raw(r))))
		require.NoError(t, d.Extra.UnmarshalJSON(fmt.Appendf(nil, `{"extra":%s}`, raw(r))))
		e, err := cdevents.FromDeployment(d, cdevents.Options{Source: "/ci"})
		require.NoError(t, err)
		requireDeployment(t, d, e)
	}
}

func TestEventRoundTrips(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range documents {
		event := &payload.Event{
			Type: pick(r, payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive,
				payload.DeployFailed, payload.DeployRolledBack, "cache.warmed", "a1.b_2.c3", "_.9"),
			Timestamp: moment(r), DeliveryID: pick(r, "", "whk_1", "100%"), DeploymentID: pick(r, words...) + "-1",
			App: pick(r, words...), Environment: pick(r, words...), Version: pick(r, words...),
			PreviousVersion: pick(r, words...), Error: pick(r, words...) + "\n", Status: pick[payload.Status](r, "", "pending", "cancelled", "odd"),
			Commit: pick(r, nil, &payload.Commit{}, &payload.Commit{SHA: commit}), CacheHit: pick(r, nil, new(true)),
			Rollback: pick(r, nil, &payload.Rollback{RestoredVersion: "1"}),
		}
		require.NoError(t, event.Metadata.UnmarshalJSON([]byte(pick(r, `{}`, `{ "n" : 1.0 , "m":1e2}`))))
		require.NoError(t, event.Extra.UnmarshalJSON(fmt.Appendf(nil, `{"extra":%s}`, raw(r))))
		e, err := cdevents.FromEvent(event, options)
		require.NoError(t, err)
		requireEvent(t, event, e)
	}
}
