// Package sqldb is what every SQL store of this repository shares.
package sqldb
