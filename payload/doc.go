// Package payload is what deployment webhooks say: two JSON documents, read strictly, validated completely and written
// back without loss.
//
//	event, err := payload.DecodeEvent(body)
//	if err != nil {
//		return err // Invalid payload: error is required when event is deploy.failed
//	}
//	switch event.Type {
//	case payload.DeployLive:
//		fmt.Printf("%s %s is live in %s\n", event.App, event.Version, event.Environment)
//	case payload.DeployFailed:
//		fmt.Printf("%s failed: %s\n", event.App, event.Error)
//	}
//
// An [Event] is one step of a deployment's life, in snake_case, after the guide to deployment webhooks by Temps. A
// [Deployment] is the record of a whole deployment, in camelCase, as Periscope's deployment webhook takes it. Each has
// a decode function, Validate, Encode, a JSON Schema, and a conversion to the other.
//
// # What decoding promises
//
//   - Duplicate names, invalid UTF-8 and anything after the document are errors, and names count only in their exact
//     case: "App" is not the field "app" but a member of its own. Lenient readers make different things of the same
//     bytes, so that a proxy, a log and a handler come to see different documents.
//   - Null means that a member is absent. In a required member, and as a value
//     in metadata, it is an error.
//   - A member that only informs, such as a link to the pipeline, never costs the
//     document. If it can't be kept, it is left out and listed in Dropped.
//   - A string that may be absent may also be empty, which means the same and is left out on encoding: pipelines fill
//     documents from variables that are not always set.
//   - Dates are read in the ISO 8601 forms that CI systems emit, see [ParseTime], and written in RFC 3339 and UTC.
//   - All failures are reported at once, each with the path of its member, in a [*ValidationError] that is safe to show
//     to the peer: it repeats no values and is bounded in length.
//   - Members without a field are kept, in every object, and come out again on encoding. They, metadata and rawPayload
//     stay as they were written, to the byte: 9007199254740993, 1.0 and 1e2 are not rounded or rewritten.
//   - Nesting in such a member is limited to 128 levels, IDs to 255 characters, names to 1024, links to 8192.
//
// # Security
//
// Verify the signature before decoding, and sign the bytes that Encode returned: a document that has been decoded and
// encoded again has other bytes than before. Bound the body before decoding; this package limits its depth, not its
// length.
//
// A valid document is well-formed, not harmless. Its texts come from whoever could trigger a deployment: escape them
// where they are shown, and do not build commands, paths or queries from them. Links are http or https, but lead
// wherever the sender wants; they are not safe to fetch.
//
// # Misuses
//
//   - Treating Event.Status as the deployment's: in a build.completed it is the build's. Use [Event.DeploymentStatus].
//   - Overwriting a stored status with each that arrives: deliveries overtake each other. Ask [Status.Transition].
//   - Re-encoding through json.Marshal where bytes matter: it compacts, and encoding/json escapes. Use Encode.
//   - Making a new delivery ID for each attempt: receivers tell duplicates by it.
package payload
