// Package api is the management API of an outbox. A platform mounts it behind
// its own authentication, instead of writing one:
//
//	handler, err := api.New(o, func(r *http.Request) (api.Access, error) {
//		user, err := session(r) // the platform's own
//		if err != nil {
//			return api.Access{}, fmt.Errorf("%w: %w", api.ErrUnauthenticated, err)
//		}
//		return api.Access{App: user.Customer, ReadOnly: !user.Admin, Actor: user.Name}, nil
//	})
//	if err != nil {
//		return err
//	}
//	mux.Handle("/webhooks/", http.StripPrefix("/webhooks", handler))
//
// Customers then manage their endpoints, see what was delivered and why not,
// send it again, rotate secrets and poll events. Operators do the same for all
// apps. The API is described by an OpenAPI 3.1 document, which [Document]
// returns and the handler serves at /openapi.json. REFERENCE.md is the same as
// a page. The program examples/platform mounts the API behind tokens.
//
// # Answers
//
// Answers are JSON in the form that package outbox gives its types. Lists have
// the members items and next. The next page is asked for with next as the
// parameter cursor. Errors are problem details (RFC 9457) with a code that
// never changes and a sentence for customers. PROBLEMS.md lists the codes.
//
// A creation with the header Idempotency-Key can be repeated if its answer was
// lost. It makes one endpoint, and only the first answer has its secret. An
// update with the header If-Match and the endpoint's ETag is refused if
// it was changed meanwhile (RFC 9110, section 13.1.1).
//
// # Security
//
//   - There is no access without an [Authorizer]. Its zero [Access] permits
//     nothing, and an error of it neither.
//   - The app is in the path and compared with Access.App. Other apps, and
//     their IDs, get the same answer as what never existed.
//   - Secrets are shown once, when they are made. URLs are shown to those who
//     may change endpoints. Headers and client certificates are never shown.
//   - A browser's request from another origin is refused, see
//     [http.CrossOriginProtection]. So are bodies that a form could send, since
//     an authorizer may use cookies. No GET changes anything.
//   - Bodies have at most 256 KiB and 30 seconds to arrive, see
//     [WithReadTimeout]. Names that are unknown or repeated are refused. The
//     time limit for headers is that of the http.Server.
//   - Each change is logged with who made it.
//   - Nothing limits how often a client asks. Put a limit in front of it,
//     especially of creations and tests, which resolve host names.
//
// # Misuses
//
//   - An authorizer that takes the app from the request's path, and so lets
//     everybody in.
//   - Showing body, header and answer texts as HTML. They come from other
//     people.
package api
