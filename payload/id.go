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

// NewDeliveryID returns a fresh ID for one delivery to one endpoint: "whk_" and a UUIDv7 in 32 lower-case hexadecimal
// digits. All attempts of the delivery carry the same ID, because receivers recognise duplicates by it.
//
// IDs made by one process sort in the order they were made. Safe for concurrent use; never fails.
func NewDeliveryID() string { return newID(deliveryPrefix) }

// NewDeploymentID returns a fresh ID for a deployment: "dep_" and a UUIDv7 in 32 lower-case hexadecimal digits. A CI
// run has an ID of its own, which is the better choice there, since a re-sent record then updates the first one.
//
// Safe for concurrent use; never fails.
func NewDeploymentID() string { return newID(deploymentPrefix) }

// newID reads crypto/rand itself, and not through uuid's global reader: what another package of the program sets with
// uuid.SetRand must not make IDs predictable.
func newID(prefix string) string {
	id, err := uuid.NewV7FromReader(rand.Reader)
	if err != nil {
		// Cannot happen: crypto/rand.Reader never returns an error since Go 1.24. An ID that is random but not
		// ordered still does the job, where a panic or an empty ID would not.
		return prefix + strings.ToLower(rand.Text())
	}
	return prefix + hex.EncodeToString(id[:])
}
