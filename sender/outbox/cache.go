package outbox

import (
	"sync"
	"time"

	"github.com/deployhook/deployhook/sender"
)

// maxCached bounds the endpoints that are kept unsealed in memory.
const maxCached = 10_000

// endpointCache keeps endpoints ready to send to, by the version they have in the database: what is read with every delivery
// says which version is right, so that the cache is never stale.
type endpointCache struct {
	mu   sync.Mutex
	byID map[string]cachedEndpoint
}

type cachedEndpoint struct {
	version  int64
	to       sender.Endpoint
	until    time.Time // when a key's use ends; zero if none does
	schedule sender.Schedule
}

func newEndpointCache() *endpointCache { return &endpointCache{byID: map[string]cachedEndpoint{}} }

func (c *endpointCache) get(id string, version int64, now time.Time) (cachedEndpoint, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok || e.version != version || !e.until.IsZero() && now.After(e.until) {
		return cachedEndpoint{}, false
	}
	return e, true
}

func (c *endpointCache) put(id string, e cachedEndpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byID) >= maxCached {
		clear(c.byID)
	}
	c.byID[id] = e
}
