// Package payload defines the two JSON documents that deployment webhooks
// carry. It decodes them strictly, validates them completely and encodes them
// without loss.
//
//	event, err := payload.DecodeEvent(body)
//	if err != nil {
//		return err // Invalid payload: …
//	}
//	switch event.Type {
//	case payload.DeployLive:
//		fmt.Println(event.App, event.Version, "is live in", event.Environment)
//	case payload.DeployFailed:
//		fmt.Printf("%s failed: %s\n", event.App, event.Error)
//	}
//
// An [Event] is one step of a deployment, with snake_case names, as described
// in the guide to deployment webhooks by Temps. A [Deployment] is the record of
// a whole deployment, with camelCase names, in the format of Periscope's
// deployment webhook. Each has a decode function, Validate, Encode, a JSON
// Schema and a conversion to the other. An [Envelope] is an event in the body
// that the Standard Webhooks specification recommends, with the members type,
// timestamp and data.
//
// # What decoding promises
//
//   - Duplicate names, invalid UTF-8 and data after the document are errors.
//     Names match only in their exact case, so "App" is not the field "app" but
//     a separate member. A lenient reader could see another document than the
//     proxy or log in front of it.
//   - A null member counts as absent. In a required member, and as a metadata
//     value, null is an error.
//   - An invalid value in a member that only informs people, such as the link
//     to the pipeline, does not make the document invalid. Decoding leaves the
//     member out and lists it in Dropped.
//   - An optional string may be empty. Empty means absent, and encoding leaves
//     it out. Pipelines fill documents from variables that are not always set.
//   - Dates are read in the ISO 8601 formats that CI systems emit, see
//     [ParseTime]. They are written in RFC 3339 and UTC.
//   - All failures are reported at once in a [*ValidationError], each with the
//     path of its member. The error is safe to show to the sender, because it
//     repeats no values and its length is limited.
//   - Members without a field are kept in every object and written back on
//     encoding. They stay byte for byte as they were written, as do metadata
//     and rawPayload. Numbers such as 9007199254740993, 1.0 and 1e2 are not
//     rounded or rewritten.
//   - Such a member may be nested up to 128 levels. IDs have up to 255
//     characters, names 1024 and links 8192.
//
// # Security
//
// Verify the signature before decoding, and sign the bytes that Encode
// returned. A document that was decoded and encoded again may differ from the
// received bytes. Limit the size of the body before decoding, because this
// package limits only its depth.
//
// A valid document is well-formed but not harmless. Its texts come from anyone
// who can trigger a deployment. Escape them where you show them, and never
// build commands, paths or queries from them. Links use http or https, but the
// sender chooses their target, so they are not safe to fetch.
//
// # Common mistakes
//
//   - Event.Status is the status of one step. In a build.completed event it is
//     the status of the build. Use [Event.DeploymentStatus] for the deployment.
//   - Deliveries arrive out of order, so do not overwrite a stored status with
//     every new one. Call [Status.Transition] first.
//   - json.Marshal compacts the document, and encoding/json also escapes it.
//     Use Encode where the exact bytes matter.
//   - Do not create a new delivery ID for each attempt. Receivers detect
//     duplicates by it.
package payload
