package deployments_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

// Incidents give the metrics of package dora their failures and recoveries.
func ExampleNewIncidents() {
	hash, err := signer.HashAPIKey("dh_0123456789abcdefghij")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}})
	if err != nil {
		log.Fatal(err)
	}
	ledger, err := deployments.NewMemoryLedger()
	if err != nil {
		log.Fatal(err)
	}
	endpoint, err := deployments.NewIncidents(keys, ledger, quiet)
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/api/webhooks/incidents", strings.NewReader(
		`{"incidentId":"7","openedAt":"2026-01-15T10:40:00Z","resolvedAt":"2026-01-15T11:05:00Z","service":"api","environment":"production"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer dh_0123456789abcdefghij")
	w := httptest.NewRecorder()
	endpoint.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 201 {"action":"created","incidentId":"7"}
}
