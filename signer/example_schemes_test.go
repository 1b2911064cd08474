package signer_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/deployhook/deployhook/signer"
)

// Make a secret once, and give it to both ends through their secret stores.
// Reveal is the only way to see it.
func ExampleGenerateSecret() {
	secret := signer.GenerateSecret()
	fmt.Println("printed:", secret)
	fmt.Println("revealed:", len(secret.Reveal()), "characters")
	again, err := signer.ParseSecret(secret.Reveal())
	fmt.Println(again.Equal(secret), err)
	// Output:
	// printed: whsec_[redacted]
	// revealed: 50 characters
	// true <nil>
}

// Verify one request, without the rest of this repository.
func ExampleNewStandard() {
	secret, err := signer.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") // in production from the environment
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		log.Fatal(err)
	}
	body := []byte(`{"event":"deploy.live"}`) // the exact bytes of the request's body
	request := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", nil)
	if err := scheme.Sign(request.Context(), request, "whk_1", time.Now(), body); err != nil { // the sender's part
		log.Fatal(err)
	}

	verified, err := scheme.Verify(request, body)
	if err != nil {
		log.Fatal(err) // answer 401, and log why
	}
	fmt.Println(verified.ID)
	// Output: whk_1
}

// The server has only the hash of each key. A key's principal is the owner of
// what comes with it.
func ExampleNewAPIKeys() {
	key, err := signer.GenerateAPIKey("dhk") // show it once
	if err != nil {
		log.Fatal(err)
	}
	hash, err := signer.HashAPIKey(key.Reveal()) // store this
	if err != nil {
		log.Fatal(err)
	}
	keys, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}})
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/api/webhooks/deployments", nil)
	request.Header.Set("Authorization", "Bearer "+key.Reveal())
	verified, err := keys.Verify(request, nil)
	fmt.Println(verified.Principal, err)
	// Output: acme <nil>
}

// A sender that authenticates with an API key signs nothing.
func ExampleNewBearer() {
	key, err := signer.NewLiteralSecret("dhk_0123456789abcdef")
	if err != nil {
		log.Fatal(err)
	}
	bearer, err := signer.NewBearer(key)
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/api/webhooks/deployments", nil)
	err = bearer.Sign(request.Context(), request, "whk_1", time.Now(), nil)
	fmt.Println(request.Header.Get("Authorization"), err)
	// Output: Bearer dhk_0123456789abcdef <nil>
}

// CircleCI signs the body alone, in a header with a list.
func ExampleNewBodyOnly() {
	secret, err := signer.NewLiteralSecret("the secret that CircleCI has")
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewBodyOnly(secret,
		signer.WithHeader("Circleci-Signature"), signer.WithSignaturePrefix("v1="), signer.WithSignatureList())
	if err != nil {
		log.Fatal(err)
	}
	body := []byte(`{"type":"workflow-completed"}`)
	mac := hmac.New(sha256.New, []byte("the secret that CircleCI has")) // CircleCI's part
	mac.Write(body)
	request := httptest.NewRequest(http.MethodPost, "/webhooks/circleci", nil)
	request.Header.Set("Circleci-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))

	verified, err := scheme.Verify(request, body)
	fmt.Printf("%q %v\n", verified.ID, err) // no ID is signed
	// Output: "" <nil>
}

// The example of GitHub's documentation. Package payload/github also decodes
// the body.
func ExampleNewGitHub() {
	secret, err := signer.NewLiteralSecret("It's a Secret to Everybody")
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewGitHub(secret)
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/webhooks/github", nil)
	request.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	_, err = scheme.Verify(request, []byte("Hello, World!"))
	fmt.Println(err)
	// Output: <nil>
}

// GitLab's older secret token is sent as it is.
func ExampleNewGitLabToken() {
	token, err := signer.NewLiteralSecret("a-token-of-at-least-16-bytes")
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewGitLabToken(token, "acme")
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/webhooks/gitlab", nil)
	request.Header.Set("X-Gitlab-Token", "a-token-of-at-least-16-bytes")
	verified, err := scheme.Verify(request, nil)
	fmt.Println(verified.Principal, err)
	// Output: acme <nil>
}

// The private key may stay in a KMS, behind crypto.Signer. Receivers get the
// public key, with which they can't sign.
func ExampleNewSigningKey() {
	_, private, err := ed25519.GenerateKey(rand.Reader) // stands for the KMS
	if err != nil {
		log.Fatal(err)
	}
	key, err := signer.NewSigningKey(private)
	if err != nil {
		log.Fatal(err)
	}
	sending, err := signer.NewStandard(key)
	if err != nil {
		log.Fatal(err)
	}
	receiving, err := signer.NewStandard(key.VerifyingKey())
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", nil)
	if err := sending.Sign(request.Context(), request, "whk_1", time.Now(), nil); err != nil {
		log.Fatal(err)
	}
	verified, err := receiving.Verify(request, nil)
	fmt.Println(verified.ID, err)
	// Output: whk_1 <nil>
}

func ExampleNewStripe() {
	secret, err := signer.NewLiteralSecret("the receiver's own shared text")
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewStripe(secret)
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", nil)
	err = scheme.Sign(request.Context(), request, "whk_1", time.Unix(1764000000, 0), []byte(`{}`))
	fmt.Printf("%.18s %v\n", request.Header.Get("Stripe-Signature"), err)
	// Output: t=1764000000,v1=76 <nil>
}

// A sender that knows HTTP Basic authentication only, such as Azure DevOps.
func ExampleNewBasic() {
	password, err := signer.NewLiteralSecret("a-password-of-at-least-16-bytes")
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewBasic("azure", password)
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/webhooks/azure", nil)
	request.SetBasicAuth("azure", "a-password-of-at-least-16-bytes") // the sender's part
	_, err = scheme.Verify(request, nil)
	fmt.Println(err)
	// Output: <nil>
}
