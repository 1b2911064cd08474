package otelservice_test

import (
	"net/http"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelservice"
	"github.com/deployhook/deployhook/receiver/service"
)

// The function below is the snippet of the package documentation. It is
// compiled but not run.
var _ = snippet

func snippet(mux *http.ServeMux, store *dedupe.Memory) (*service.Service, error) {
	// mux has the handlers, and store comes from package dedupe.
	srv, err := service.New(mux, service.WithCheck("deliveries", store.Ready), service.WithTelemetry(otelservice.Open()))
	return srv, err
}
