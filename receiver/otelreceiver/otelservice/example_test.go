package otelservice_test

import (
	"context"
	"log"
	"net"
	"net/http"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelservice"
	"github.com/deployhook/deployhook/receiver/service"
)

// The providers are those of the program, unless options name others.
func ExampleOpen() {
	store, err := dedupe.NewMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	srv, err := service.New(http.NewServeMux(), service.WithCheck("deliveries", store.Ready), service.WithTelemetry(otelservice.Open()))
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := service.Signals(context.Background())
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := srv.Run(ctx, l); err != nil {
		log.Fatal(err)
	}
}

// The snippet of the package documentation.
var _ = snippet

func snippet(mux *http.ServeMux, store *dedupe.Memory) (*service.Service, error) {
	// mux has the handlers, and store comes from package dedupe.
	srv, err := service.New(mux, service.WithCheck("deliveries", store.Ready), service.WithTelemetry(otelservice.Open()))
	return srv, err
}
