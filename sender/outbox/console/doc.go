// Package console is the web pages of an outbox. A platform mounts them behind
// its own login, and its customers see what was delivered and why not:
//
//	pages, err := console.New(o, func(r *http.Request) (api.Access, error) {
//		user, err := session(r) // the platform's own
//		if err != nil {
//			return api.Access{}, fmt.Errorf("%w: %w", api.ErrUnauthenticated, err)
//		}
//		return api.Access{App: user.Customer, ReadOnly: !user.Admin, Actor: user.Name}, nil
//	})
//	if err != nil {
//		return err
//	}
//	mux.Handle("/console/", http.StripPrefix("/console", pages))
//
// A customer adds endpoints, sees their health, and finds out why a delivery
// failed. The page of a delivery begins with the reason and what to change. It
// has every attempt, the exact bytes, a box that checks a signature, and
// programs that sign the same delivery with the customer's own secret. A
// customer can resend a delivery, or everything that an endpoint missed.
//
// An operator sees all apps, which endpoints fail or wait and why, how old the
// oldest due delivery is, why deliveries became dead letters, and how far the
// replays of all apps are.
//
// The package takes the same [api.Authorizer] as the JSON API. Pages are
// rendered on the server, so there is nothing to build and nothing to start.
// They work without JavaScript, by keyboard, in light and dark, and under any
// prefix. The prefix must end with a slash in the pattern of the mux.
//
// # Security
//
//   - There is no access without an authorizer. Its zero [api.Access] permits
//     nothing, and an error of it neither.
//   - IDs of other apps get the same answer as IDs that never existed.
//   - A caller with Access.ReadOnly sees no URL and no action, and every POST
//     of it is refused.
//   - No GET changes anything. A POST of a browser must come from a page of the
//     same origin, see [http.CrossOriginProtection]. A subdomain is another
//     origin.
//   - The Content-Security-Policy permits no inline code and no other host.
//   - Everything that customers and endpoints wrote is shown as text. The exact
//     bytes of a delivery are only a download.
//   - A secret is on one page, the answer to the request that made it. It is in
//     no URL. A fresh signature is on no page.
//   - Creating, changing and testing endpoints is limited for each app, because
//     it resolves host names and connects to them.
//
// # Misuses
//
//   - An authorizer that takes the app from the request's path, and so lets
//     everybody in.
//   - Serving the pages from the origin of a site that has other people's
//     scripts. Use a host name of their own.
package console
