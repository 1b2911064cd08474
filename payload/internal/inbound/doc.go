// Package inbound holds the common code of the packages that read other
// systems' deployment events. It reads a body strictly, keeps the path of each
// member, and fills a payload.Deployment. It has no HTTP handlers.
//
// The package of a system has a [Mapping], its tables, and short exported
// functions that call this package.
package inbound
