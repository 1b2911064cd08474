// Package sender delivers deployment events as signed webhooks. One call makes
// attempts until the endpoint has the event, and returns a record of each
// attempt.
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
// [Sender.Send] signs with any
// [github.com/deployhook/deployhook/signer.Signer], follows a [Schedule] and
// respects Retry-After. The default schedule is [Pipeline], which takes about a
// minute. [Sender.Deliver] does the same for an existing body. [Sender.Attempt]
// makes exactly one attempt, for a durable queue. [Sender.Check] checks an
// endpoint when a person enters it.
//
// # Retry or final
//
// A 2xx is delivered. After everything else, Send and Deliver follow the
// schedule ("retried") or stop ("final"). The next word is the attempt's
// Outcome:
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
//	abort-message                final, aborted, for any status but 2xx and 410: see WithDeliveryControl
//	disable                      final, gone, for any status but 2xx: see WithDeliveryControl
//	3xx, Pipeline schedule       final, rejected: redirects are never followed
//	3xx, other schedules         retried, failed
//	4xx                          retried, failed
//	4xx, stop on client error    final, rejected: see WithStopOnClientError
//	the same with Retry-After    retried, failed, if Retry-After is a number or a date
//	408, 409, 425, 429           retried, failed, in every case
//	5xx                          retried, failed
//
// After an answer with Retry-After, the next attempt waits at least that long,
// up to the cap of [WithMaxRetryAfter].
//
// # What counts as delivered
//
// The endpoint has accepted a delivery as soon as it has sent the header of a
// 2xx, even if the body of the answer never ends. Each attempt is one request
// with the same delivery ID and bytes, and a fresh timestamp and signature. The
// endpoint may have acted on an attempt that got no answer. Receivers recognise
// the repetition by its ID.
//
// # Codes for customers
//
// [Problems] and [Attempt.Problem] give an error a code and a sentence that fit
// for customers. The codes are stable:
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
//	aborted                     the answer asks for no more attempts of the delivery
//	disabled                    the answer asks for no more deliveries
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
//   - The sent bytes are the signed bytes. The body is encoded once, and a
//     signer can only set headers.
//   - Nothing is sent unsigned by mistake. An endpoint without a signer is an
//     error, and so is a signer that sets no header. [InsecureUnsigned] is the
//     only exception.
//   - URLs are assumed to come from strangers (server-side request forgery).
//     Every attempt checks every address after DNS, when it is dialled.
//     Addresses that are not public by the IANA special-purpose registries are
//     refused, and so is 168.63.129.16. [AllowNetworks] opens networks by name,
//     for http as well.
//   - Only https is used, with TLS 1.2 or later and verified certificates.
//   - Proxies of the environment are ignored without
//     [WithProxyFromEnvironment]. With that option and with [WithProxy], the
//     proxy is asked for addresses that the guard has checked.
//   - [WithDialer] makes connections in another way, and gets only addresses
//     that the guard has checked.
//   - Hosts that software reads in different ways are refused before anything
//     is resolved. Examples are 127.1, 2130706433, ①②⑦.⓪.⓪.①, zones, and names
//     that are not ASCII.
//   - Each attempt is one request. net/http by itself repeats some requests,
//     but can't repeat these (see [Sender.Attempt]).
//   - Answers are assumed to be hostile. One deadline covers everything from
//     DNS to the end of the body. The header has at most 64 KiB, and at most
//     eight 1xx answers may precede it. At most 64 KiB of the body are read and
//     16 KiB kept. Nothing is decompressed.
//   - Bodies are bounded to 1 MiB ([WithMaxBody]), because anyone who can write
//     a commit message chooses an event's texts.
//   - Records and errors contain no credential. They show the scheme and host
//     of a URL, and only the name of a header that may be an API key. A
//     credential that the endpoint echoes is overwritten.
//
// # Misuses
//
//   - Checking a URL when it is entered, and then fetching it with another
//     client. [Sender.Check] is advice. The dial guard is the protection. For
//     such requests see [Sender.Transport].
//   - Giving 0.0.0.0/0 to AllowNetworks to get rid of an error. Give the
//     network that the error names.
//   - Using one signer, and so one secret, for several customers. Each customer
//     could then forge deliveries to the others.
//   - Sending one message to several endpoints. They would share its ID. Make a
//     message for each ([NewMessage]).
//   - Showing customers an error's text. It may name the internal address that
//     their host resolved to. Show its [Problems].
//   - Writing a [Format] that does not escape an event's texts. Strangers
//     choose these texts, and could ping a channel or hide where a link leads.
//     The formats below this package escape them.
//   - Calling Send in a request handler. It may take a minute, and a crash
//     loses the event. Queue the message, and call [Sender.Attempt] from the
//     queue.
//
// # Tests
//
// Package sendertest has endpoints that are good, slow or hostile, with the
// options that a Sender needs to reach them. They are in memory, so retries and
// timeouts take no time in a testing/synctest bubble.
package sender
