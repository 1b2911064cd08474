// Package monitoring has a dashboard for Grafana and alerts for Prometheus, see
// README.md. Its tests hold both against a service that runs.
package monitoring
