package outbox

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
	"github.com/deployhook/deployhook/sender"
)

// An endpoint shows no secret between the decryption and the making of its
// signer. Only the sealed form contains the text of its keys.
func TestUnsealedEndpointIsHidden(t *testing.T) {
	t.Parallel()
	const canary = "CANARYCANARYCANARYCANARYCANARYCA"
	created, _, err := SchemeStandard.newKey("whsec_" + canary)
	require.NoError(t, err)
	sealed, err := encodeKeys([]storedKey{created, {NotAfter: 7}})
	require.NoError(t, err)
	require.JSONEq(t, `[{"text":"whsec_`+canary+`"},{"text":"","not_after":7}]`, string(sealed))
	keys, err := decodeKeys(sealed)
	require.NoError(t, err)
	require.Equal(t, "whsec_"+canary, keys[0].text.Reveal())
	require.EqualValues(t, 7, keys[1].NotAfter)

	row := endpointRow{
		url: sender.NewURL("https://hooks.example.com/" + canary), header: sender.NewHeader(http.Header{"X-Api-Key": {canary}}), keys: keys,
	}
	hiddentest.RequireHidden(t, []string{canary}, created, keys[0], keys, row)
}
