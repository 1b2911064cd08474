package payload

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

const (
	deliveryPrefix   = "whk_"
	deploymentPrefix = "dep_"
)

// NewDeliveryID returns a new ID for one delivery to one endpoint. The ID is
// "whk_" and a UUIDv7 in 32 lower-case hexadecimal digits. All attempts of the
// delivery carry the same ID, because receivers detect duplicates by it.
//
// IDs made by one process sort in the order of their creation. NewDeliveryID is
// safe for concurrent use and never fails.
func NewDeliveryID() string { return newID(deliveryPrefix) }

// NewDeploymentID returns a new ID for a deployment. The ID is "dep_" and a
// UUIDv7 in 32 lower-case hexadecimal digits. In CI, prefer the ID of the run,
// because a record that is sent again then updates the first one.
//
// NewDeploymentID is safe for concurrent use and never fails.
func NewDeploymentID() string { return newID(deploymentPrefix) }

// newID reads crypto/rand directly instead of uuid's global reader. Otherwise
// another package of the program could make IDs predictable with uuid.SetRand.
func newID(prefix string) string {
	id, err := uuid.NewV7FromReader(rand.Reader)
	if err != nil {
		// This cannot happen, because crypto/rand.Reader never returns an error
		// since Go 1.24. A random ID without order still works, unlike a panic
		// or an empty ID.
		return prefix + strings.ToLower(rand.Text())
	}
	return prefix + hex.EncodeToString(id[:])
}
