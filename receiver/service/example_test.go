package service_test

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/receiver/service"
)

// The program of a service. It stops when a signal arrives.
func Example() {
	main := func(mux *http.ServeMux, listener net.Listener) error {
		store, err := dedupe.NewMemory()
		if err != nil {
			return err
		}
		ctx, stop := service.Signals(context.Background())
		defer stop()
		srv, err := service.New(mux, service.WithCheck("deliveries", store.Ready))
		if err != nil {
			return err
		}
		return srv.Run(ctx, listener)
	}
	_ = main
	fmt.Println("GET /livez and GET /readyz")
	// Output: GET /livez and GET /readyz
}
