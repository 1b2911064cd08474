package payload_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

func TestNewIDs(t *testing.T) {
	t.Parallel()
	for prefix, newID := range map[string]func() string{"whk_": payload.NewDeliveryID, "dep_": payload.NewDeploymentID} {
		before := time.Now().Truncate(time.Millisecond)
		id := newID()
		require.Regexp(t, "^"+prefix+"[0-9a-f]{32}$", id)
		parsed, err := uuid.Parse(strings.TrimPrefix(id, prefix))
		require.NoError(t, err)
		assert.EqualValues(t, 7, parsed.Version())
		assert.Equal(t, uuid.RFC4122, parsed.Variant())
		seconds, nanoseconds := parsed.Time().UnixTime()
		assert.False(t, time.Unix(seconds, nanoseconds).Before(before))
	}
	event := payload.Event{
		Type: payload.BuildCompleted, Timestamp: time.Now(), DeliveryID: payload.NewDeliveryID(),
		DeploymentID: payload.NewDeploymentID(),
	}
	assert.NoError(t, event.Validate())
}

func TestNewIDsAreUniqueAndOrdered(t *testing.T) {
	t.Parallel()
	const goroutines, each = 8, 500
	ids := make([][]string, goroutines)
	var group sync.WaitGroup
	for i := range goroutines {
		group.Go(func() {
			for range each {
				ids[i] = append(ids[i], payload.NewDeliveryID())
			}
		})
	}
	group.Wait()
	for _, list := range ids {
		assert.True(t, slices.IsSorted(list))
	}
	all := slices.Concat(ids...)
	slices.Sort(all)
	assert.Len(t, slices.Compact(all), goroutines*each)
}
