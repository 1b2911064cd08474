// Package cdeventstest tests package cdevents against the official CDEvents SDK with its JSON Schemas, and against the
// CloudEvents SDK. It is a module of its own, so that neither is a dependency of the SDK.
package cdeventstest
