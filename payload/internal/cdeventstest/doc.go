// Package cdeventstest tests package cdevents against the official CDEvents
// SDK, its JSON Schemas and the CloudEvents SDK. It is a separate module so
// that these are not dependencies of deployhook.
package cdeventstest
