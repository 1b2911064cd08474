package sender_test

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// A header of an endpoint is a credential, so printing shows no value.
func ExampleNewHeader() {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		log.Fatal(err)
	}
	endpoint := sender.Endpoint{
		URL: sender.NewURL("https://hooks.example.com/deploy"), Signer: scheme,
		Header: sender.NewHeader(http.Header{"X-Api-Key": {"a key of the customer"}}),
	}
	fmt.Println(endpoint)
	// Output: https://hooks.example.com
}

// An endpoint that asks for a client certificate (mTLS).
func ExampleNewClientCertificate() {
	pair, err := tls.LoadX509KeyPair("client.pem", "client.key")
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := sender.NewClientCertificate(pair)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sender.Endpoint{URL: sender.NewURL("https://hooks.example.com/deploy"), ClientCertificate: certificate})
}

// A queue stores the message, and sends the same bytes at every attempt.
func ExampleNewMessage() {
	message, err := sender.NewMessage(&payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Environment: "production",
	})
	if err != nil {
		log.Fatal(err) // names every invalid field
	}
	fmt.Println(message.Type, len(message.ID), len(message.Body) > 0)
	// Output: deploy.live 36 true
}
