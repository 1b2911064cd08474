// Package service runs an HTTP server that tells the truth about its health and
// stops without losing a request. It is for services that receive webhooks, and
// works for any other handler too.
//
//	ctx, stop := service.Signals(context.Background())
//	defer stop()
//	srv, err := service.New(mux, service.WithCheck("deliveries", store.Ready))
//	if err != nil {
//		return err
//	}
//	return srv.Run(ctx, listener)
//
// # Health
//
//	GET /livez     200 while the process answers; it touches no store
//	GET /readyz    200 if every check succeeded, else 503
//
// The stores of this repository have a method Ready, which writes to the store.
// A store that answers a ping but refuses writes is therefore not ready.
//
// Checks run at most every 5 seconds, however often /readyz is requested. The
// requests in between share the last result. A check that does not return in
// time counts as failed. The answer never contains the reason, but the log
// does.
//
// With [WithTelemetry] and package otelservice a metric has the result of each
// check.
//
// Restart a process by /livez, and route requests to it by /readyz. A restart
// does not repair a store.
//
// # How it stops
//
//	signal      /readyz answers 503, and the server goes on serving
//	drain time  the listener closes, bodies that are still arriving are refused
//	stop time   running handlers are aborted
//
// The drain time must be longer than a load balancer needs to notice that the
// process is not ready. New connections are served until then, and a request
// whose body arrives slowly does not delay the end of the drain time. The
// sender of a refused body retries. Answers during the drain time ask the
// client to close its connection.
//
// A second signal ends the process at once.
//
// # Misuses
//
//   - A drain time shorter than the period of the load balancer's health check.
//   - A check in liveness. All processes then restart while a shared database
//     is down.
//   - A check that only pings. It succeeds while a full disk or a read-only
//     database refuses every delivery.
package service
