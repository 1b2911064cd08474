// Package console is the web pages of a service that receives webhooks. The
// team that runs the service mounts them behind its own login:
//
//	pages, err := console.New(func(r *http.Request) (console.Access, error) {
//		user, err := session(r) // the service's own
//		if err != nil {
//			return console.Access{}, fmt.Errorf("%w: %w", console.ErrUnauthenticated, err)
//		}
//		return console.Access{Read: true, Act: user.OnCall, Organizations: user.Organizations, Actor: user.Name}, nil
//	}, console.WithInbox(in), console.WithRecent(recent), console.WithLedger(ledger), console.WithMetrics(calculator))
//	if err != nil {
//		return err
//	}
//	mux.Handle("/console/", http.StripPrefix("/console", pages))
//
// Each source is optional, and at least one is required:
//
//	option         pages
//	[WithInbox]    what is pending, dead letters by their error, and replays
//	[WithRecent]   requests of the last 24 hours by outcome and reason
//	[WithLedger]   what is live in each environment, and every deployment
//	[WithMetrics]  the five DORA metrics, with the evidence behind each figure
//
// The page of a delivery begins with the reason and what to do. One dead
// letter, or all with the same error, can be replayed. A [Recent] counts the
// requests of the receivers that it observes. A figure that can't be measured
// is absent and never zero.
//
// Pages are rendered on the server, so there is nothing to build and nothing to
// start. They work without JavaScript, by keyboard, in light and dark, and
// under any prefix. The prefix must end with a slash in the pattern of the mux.
//
// # Security
//
//   - There is no access without an authorizer. Its zero [Access] permits
//     nothing, and an error of it neither.
//   - Deployments and metrics of an organization are shown to those alone whose
//     Access.Organizations has it. Others get the same answer as for one that
//     never existed.
//   - A caller without Access.Act sees no action, and every POST of it is
//     refused.
//   - No GET changes anything. A POST of a browser must come from a page of the
//     same origin, see [http.CrossOriginProtection]. A subdomain is another
//     origin.
//   - The Content-Security-Policy permits no inline code and no other host.
//   - Everything that senders and handlers wrote is shown as text. The exact
//     bytes of a delivery are only a download.
//   - A [Recent] keeps counts alone. Nothing of a refused request is stored or
//     shown.
//   - Pages are never cached.
//
// # Misuses
//
//   - An authorizer that lets in everybody who reaches the service.
//   - Giving Access.Read to someone who may see the deliveries of one sender
//     only. The inbox has those of all senders.
//   - Serving the pages from the origin of a site that has other people's
//     scripts. Use a host name of their own.
//   - Replaying deliveries whose handler is not idempotent.
package console
