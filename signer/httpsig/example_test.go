package httpsig_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// A sender and a receiver share a secret. The receiver is reached directly. A
// receiver behind a proxy sets its public address with WithExternalURL.
func Example() {
	secret, err := signer.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") // from the environment, in earnest
	if err != nil {
		panic(err)
	}
	key, err := httpsig.NewKey("2026-11", secret)
	if err != nil {
		panic(err)
	}
	scheme, err := httpsig.New(key, httpsig.WithPrincipal("acme"))
	if err != nil {
		panic(err)
	}

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		verified, err := scheme.Verify(r, body)
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized) // and err to the log: the peer is not told why
			return
		}
		fmt.Println(verified.ID, verified.Principal, verified.Key)
	}))
	defer server.Close()

	body := []byte(`{"event":"deploy.live"}`)
	request, err := http.NewRequest(http.MethodPost, server.URL+"/deploy?env=prod", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/json") // before Sign: it is signed
	if err := scheme.Sign(request.Context(), request, "whk_0198", time.Now(), body); err != nil {
		panic(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		panic(err)
	}
	response.Body.Close()
	fmt.Println(response.StatusCode)
	// Output:
	// whk_0198 acme 2026-11
	// 200
}

// documented is the snippet of the package documentation. Example runs the same
// code.
var _ = documented

func documented(ctx context.Context, request *http.Request, deliveryID string, body []byte) error {
	secret, err := signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET")) // whsec_…
	if err != nil {
		return err
	}
	key, err := httpsig.NewKey("2026-11", secret)
	if err != nil {
		return err
	}
	scheme, err := httpsig.New(key, httpsig.WithExternalURL("https://hooks.example.com"))
	if err != nil {
		return err
	}
	if err := scheme.Sign(ctx, request, deliveryID, time.Now(), body); err != nil { // sets four headers
		return err
	}
	verified, err := scheme.Verify(request, body) // ID, time, principal, key
	_ = verified
	return err
}
