// Package servicetest provides servers for tests. They are either named by
// environment variables, or private servers that a test may kill, restart and
// freeze.
//
//	// The server of DEPLOYHOOK_TEST_POSTGRES. Without it the test is skipped.
//	url := servicetest.PostgresURL(t)
//	// A private server of the redis-server on PATH.
//	server := servicetest.StartRedis(t)
//	server.Kill()
//	server.Restart()
//
// If DEPLOYHOOK_TEST_REQUIRE_SERVICES is 1, as in CI, a missing server fails
// the test instead of skipping it.
//
// It uses only the standard library, so that the tests of every module can
// import it.
package servicetest

import (
	"os"
	"os/exec"
)

// TB is the part of testing.TB that the functions of this package use. A
// program that is no test can implement it. Fatal, Fatalf and Skip must not
// return.
type TB interface {
	Cleanup(f func())
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Helper()
	Skip(args ...any)
	TempDir() string
}

// The environment variables that name servers for tests, and the one that
// forbids skipping.
const (
	PostgresEnv = "DEPLOYHOOK_TEST_POSTGRES"
	RedisEnv    = "DEPLOYHOOK_TEST_REDIS"
	RequireEnv  = "DEPLOYHOOK_TEST_REQUIRE_SERVICES"
)

// PostgresURL returns the URL of a PostgreSQL server on which the test may
// create databases and schemas. Without a server it skips the test.
func PostgresURL(t TB) string {
	t.Helper()
	return fromEnv(t, PostgresEnv)
}

// RedisURL returns the URL of a Redis server on which the test may use keys
// with a unique prefix. Without a server it skips the test.
func RedisURL(t TB) string {
	t.Helper()
	return fromEnv(t, RedisEnv)
}

func fromEnv(t TB, name string) string {
	t.Helper()
	url := os.Getenv(name)
	if url == "" {
		Skip(t, "no server: set "+name+" to the URL of one")
	}
	return url
}

// Skip skips the test, or fails it if services are required.
func Skip(t TB, reason string) {
	t.Helper()
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf("%s (%s=1 makes this a failure)", reason, RequireEnv)
	}
	t.Skip(reason)
}

// Program returns the path of a program for the test, such as "git". Without
// the program the test is skipped.
func Program(t TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Skip(t, name+" is not on PATH; install it")
	}
	return path
}
