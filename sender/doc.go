// Package sender delivers deployment events as signed webhooks: one call that keeps trying until the endpoint has the
// event, and a record of every try.
//
//	s, err := sender.New()
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme}, event)
//	if err != nil {
//		return err // says how many attempts there were and what the last one ran into
//	}
//	fmt.Println(receipt.Outcome, receipt.ID)
//
// [Sender.Send] signs with any [github.com/deployhook/deployhook/signer.Signer], follows a [Schedule] ([Pipeline],
// about a minute, unless told otherwise) and heeds Retry-After. [Sender.Deliver] does the same for a body that exists.
// [Sender.Attempt] makes exactly one try: it is what a durable queue calls. [Sender.Check] is for the moment when someone
// enters an endpoint.
//
// # Retry or final
//
// A 2xx is delivered. For everything else, Send and Deliver follow the schedule or
// stop, and the last column is the attempt's Outcome:
//
//	the signer fails or panics   retried, failed
//	the signer is misused        final, refused: no active key, no header set, a header replaced
//	a bad endpoint or message    final, refused, and no attempt is made
//	a forbidden address          final, refused, if all addresses of the host are forbidden
//	mixed addresses              retried, failed, if the permitted ones can't be reached
//	DNS fails                    retried, failed, also where the name does not exist
//	connection refused           retried, failed
//	TLS fails                    retried, failed, also for a client certificate that is missing
//	no answer in time            retried, failed
//	the connection ends          retried, failed
//	410                          final, gone: disable the endpoint
//	3xx, Pipeline schedule       final, rejected: redirects are never followed
//	3xx, other schedules         retried, failed
//	4xx                          retried, failed
//	4xx, stop on client error    final, rejected: see WithStopOnClientError
//	the same with Retry-After    retried, failed, if Retry-After is a number or a date
//	408, 409, 425, 429           retried, failed, in every case
//	5xx                          retried, failed
//
// After an answer with Retry-After, the next attempt comes no sooner than that asks
// for, within the cap of [WithMaxRetryAfter].
//
// # What counts as delivered
//
// The endpoint has accepted a delivery as soon as the header of a 2xx is there, even if the body of that answer never
// ends. Each attempt is one request with the same delivery ID and bytes, and a timestamp and signature of its own. An
// attempt without an answer may have been acted upon: receivers recognise the repetition by its ID.
//
// # Codes for customers
//
// [Problems] and [Attempt.Problem] give an error a code and a sentence that fit for
// customers. The codes are stable:
//
//	url_invalid                 the URL breaks a rule
//	url_not_https               plain http is not permitted there
//	url_port                    the port is not permitted
//	host_unreachable            the host does not resolve, or to an address that is not permitted
//	signer_invalid              the endpoint has no usable signer
//	format_invalid              the body format is unusable
//	events_invalid              a filter is malformed or matches no type
//	header_invalid              a header may not be set, or too many are
//	timeout_invalid             the timeout is negative or too long
//	client_certificate_invalid  the certificate does not fit the URL
//	message_id_invalid          the delivery ID is unacceptable
//	body_invalid                the body is empty or over the limit
//	content_type_invalid        the content type is no header's value
//	event_invalid               a member of the event is wrong
//	format_no_message           the body format has nothing to say about the event
//	redirected                  an answer of 3xx
//	gone                        an answer of 410
//	throttled                   an answer of 429
//	client_error                another answer of 4xx
//	server_error                an answer of 5xx
//	status_unexpected           an answer of another status
//	connection_failed           the endpoint or the proxy can't be reached
//	tls_failed                  the TLS handshake failed
//	timeout                     there was no answer in time
//	connection_closed           the connection ended before an answer
//	answer_invalid              the answer is not HTTP, or exceeds a bound
//	interrupted                 the caller or the sender ended the attempt
//	not_signed                  the signer failed
//	internal                    any other error
//
// # Security properties
//
//   - What is signed is what is sent. The body is encoded once; a signer can set headers and nothing else.
//   - Nothing is sent unsigned by mistake: an endpoint without a signer, and a signer that sets no header, are
//     errors. The only other way is [InsecureUnsigned].
//   - Server-side request forgery: URLs are taken to come from strangers. Every address is checked when it is dialled,
//     after DNS, for every attempt; what is not public by the IANA special-purpose registries is refused, as is
//     168.63.129.16. Proxies of the environment are ignored without [WithProxyFromEnvironment]; that and [WithProxy] ask
//     one for addresses that were. Only https, TLS 1.2 or later, always verified. [AllowNetworks] opens networks by name,
//     there also for http.
//   - Hosts that software reads in different ways (127.1, 2130706433, ①②⑦.⓪.⓪.①, zones, names that are not ASCII) are
//     refused before anything is resolved.
//   - One request for each attempt. net/http repeats some requests on its own; it can't repeat these (see
//     [Sender.Attempt]).
//   - Answers are hostile: one deadline covers everything from DNS to the end of the body; the header is bounded
//     (64 KiB), so are 1xx answers (8), what is read of the body (64 KiB) and what is kept of it (16 KiB); nothing
//     is decompressed.
//   - Bodies are bounded (1 MiB, [WithMaxBody]), since an event's texts come from whoever can write a commit message.
//   - Records and errors hold no credential: of a URL they show scheme and host, of a header that may be an API key the
//     name, and an endpoint's echo of it is overwritten.
//
// # Misuses
//
//   - Checking a URL when it is entered, and then fetching it with another client. [Sender.Check] is advice, the dial
//     guard is the protection.
//   - AllowNetworks of 0.0.0.0/0 to get rid of an error. Name the network that the error names.
//   - One signer, that is one secret, for several customers: each could then forge what another receives.
//   - A message made once and sent to several endpoints: they share its ID. Make one for each ([NewMessage]).
//   - Showing customers an error's text: it may name the internal address that their host resolved to. Show
//     [Problems] of it.
//   - A [Format] that puts an event's texts into a message as they are: they come from strangers, who can then ping a
//     channel or hide where a link leads. The formats below this package escape them.
//   - Send in a request handler: it may take a minute, and what it knows is lost in a crash. Queue the message, and call
//     [Sender.Attempt] from the queue.
package sender
