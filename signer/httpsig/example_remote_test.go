package httpsig_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/deployhook/deployhook/signer/httpsig"
)

// The private key may stay in a KMS, behind crypto.Signer.
func ExampleNewRemoteKey() {
	_, private, err := ed25519.GenerateKey(rand.Reader) // stands for the KMS
	if err != nil {
		log.Fatal(err)
	}
	key, err := httpsig.NewRemoteKey("2026-11", private)
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := httpsig.New(key)
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/deploy", nil)
	request.Header.Set("Content-Type", "application/json")
	err = scheme.Sign(request.Context(), request, "whk_1", time.Now(), []byte(`{}`))
	fmt.Println(request.Header.Get("Signature") != "", err)
	// Output: true <nil>
}
