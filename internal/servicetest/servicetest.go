// Package servicetest gives tests real servers: the ones that environment variables name, or private ones that a test may
// kill, restart and freeze.
//
//	url := servicetest.PostgresURL(t)     // DEPLOYHOOK_TEST_POSTGRES, or the test is skipped
//	server := servicetest.StartRedis(t)   // one of its own, from the redis-server on PATH
//	server.Kill()
//	server.Restart()
//
// Where DEPLOYHOOK_TEST_REQUIRE_SERVICES is 1, as in the project's gate, a server that is missing fails the test instead of
// skipping it.
//
// It uses the standard library alone, so that every module's tests can import it.
package servicetest

import (
	"os"
	"os/exec"
	"testing"
)

// The environment variables that name servers for tests, and the one that forbids skipping.
const (
	PostgresEnv = "DEPLOYHOOK_TEST_POSTGRES"
	RedisEnv    = "DEPLOYHOOK_TEST_REDIS"
	RequireEnv  = "DEPLOYHOOK_TEST_REQUIRE_SERVICES"
)

// PostgresURL returns the URL of a PostgreSQL server on which the test may create databases and schemas of its own. Without one
// it skips the test.
func PostgresURL(t testing.TB) string {
	t.Helper()
	return fromEnv(t, PostgresEnv)
}

// RedisURL returns the URL of a Redis server on which the test may use keys with a prefix of its own. Without one it skips
// the test.
func RedisURL(t testing.TB) string {
	t.Helper()
	return fromEnv(t, RedisEnv)
}

func fromEnv(t testing.TB, name string) string {
	t.Helper()
	url := os.Getenv(name)
	if url == "" {
		Skip(t, "no server: set "+name+" to the URL of one")
	}
	return url
}

// Skip skips the test, or fails it where services are required.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf("%s (%s=1 makes this a failure)", reason, RequireEnv)
	}
	t.Skip(reason)
}

// Program returns the path of a program that the test runs, such as "git". Without
// it the test is skipped.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Skip(t, name+" is not on PATH: install it")
	}
	return path
}
