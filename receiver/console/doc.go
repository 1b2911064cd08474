// Package console is the web pages of a service that receives webhooks. The
// team that runs the service mounts them behind its own login:
//
//	pages, err := console.New(func(r *http.Request) (console.Access, error) {
//		user, err := session(r) // the service's own
//		if err != nil {
//			return console.Access{}, fmt.Errorf("%w: %w", console.ErrUnauthenticated, err)
//		}
//		return console.Access{Read: true, Act: user.OnCall, Actor: user.Name}, nil
//	}, console.WithInbox(in))
//	if err != nil {
//		return err
//	}
//	mux.Handle("/console/", http.StripPrefix("/console", pages))
//
// The inbox shows what is pending, and dead letters by their error. The page of
// a delivery begins with the reason and what to do. One dead letter, or all
// with the same error, can be replayed.
//
// Pages are rendered on the server, so there is nothing to build and nothing to
// start. They work without JavaScript, by keyboard, in light and dark, and
// under any prefix. The prefix must end with a slash in the pattern of the mux.
//
// # Security
//
//   - There is no access without an authorizer. Its zero [Access] permits
//     nothing, and an error of it neither.
//   - A caller without Access.Act sees no action, and every POST of it is
//     refused.
//   - No GET changes anything. A POST of a browser must come from a page of the
//     same origin, see [http.CrossOriginProtection]. A subdomain is another
//     origin.
//   - The Content-Security-Policy permits no inline code and no other host.
//   - Everything that senders and handlers wrote is shown as text. The exact
//     bytes of a delivery are only a download.
//   - Pages are never cached.
//
// # Misuses
//
//   - An authorizer that lets in everybody who reaches the service.
//   - Serving the pages from the origin of a site that has other people's
//     scripts. Use a host name of their own.
//   - Replaying deliveries whose handler is not idempotent.
package console
