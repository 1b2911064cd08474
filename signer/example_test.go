package signer_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/deployhook/deployhook/signer"
)

func Example() {
	secret, err := signer.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		fmt.Println(err)
		return
	}

	body := []byte(`{"event":"deploy.live"}`)
	request := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/deploy", nil)
	if err := scheme.Sign(request.Context(), request, "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10", time.Now(), body); err != nil {
		fmt.Println(err)
		return
	}

	verified, err := scheme.Verify(request, body)
	fmt.Println(verified.ID, verified.Key, err)

	_, err = scheme.Verify(request, []byte(`{"event":"deploy.failed"}`))
	fmt.Println(errors.Is(err, signer.ErrNoMatch))
	// Output:
	// whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10 key-1 <nil>
	// true
}

// During a rotation the sender signs with both keys. A receiver needs only one
// of them.
func ExampleWithKey() {
	previous, current := signer.GenerateSecret().Named("2026-05"), signer.GenerateSecret().Named("2026-11")
	sending, err := signer.NewStandard(current, signer.WithKey(previous.NotAfter(time.Now().Add(24*time.Hour))))
	if err != nil {
		fmt.Println(err)
		return
	}
	request := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/deploy", nil)
	if err := sending.Sign(request.Context(), request, "whk_1", time.Now(), nil); err != nil {
		fmt.Println(err)
		return
	}
	for _, known := range []signer.Secret{previous, current} {
		receiving, err := signer.NewStandard(known)
		if err != nil {
			fmt.Println(err)
			return
		}
		verified, err := receiving.Verify(request, nil)
		fmt.Println(verified.Key, err)
	}
	// Output:
	// 2026-05 <nil>
	// 2026-11 <nil>
}

func ExampleSecret() {
	secret := signer.GenerateSecret()
	fmt.Printf("%v %+v %s\n", secret, struct{ Secret signer.Secret }{secret}, []signer.Secret{secret})
	// Output:
	// whsec_[redacted] {Secret:whsec_[redacted]} [whsec_[redacted]]
}

func ExampleNewTimestamped() {
	secret, err := signer.NewLiteralSecret("the receiver's own shared text")
	if err != nil {
		fmt.Println(err)
		return
	}
	scheme, err := signer.NewTimestamped(secret, signer.WithHeaderPrefix("X-Temps"))
	if err != nil {
		fmt.Println(err)
		return
	}
	request := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/deploy", nil)
	err = scheme.Sign(request.Context(), request, "whk_1", time.Unix(1764000000, 0), []byte(`{}`))
	fmt.Println(err, request.Header.Get("X-Temps-Timestamp"), len(request.Header.Get("X-Temps-Signature")))
	// Output:
	// <nil> 1764000000 64
}
