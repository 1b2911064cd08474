package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/examples/guides/internal/guidetest"
	"github.com/deployhook/deployhook/internal/servicetest"
)

func TestMain(m *testing.M) { guidetest.Main(m, main) }

func TestReadme_SnippetsAreInTheProgram(t *testing.T) {
	t.Parallel()
	guidetest.CheckSnippets(t)
}

// Runs every command of the guide, and compares the answers that it shows.
func TestReadme_CommandsRun(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "openssl"} {
		servicetest.Program(t, tool)
	}
	out := guidetest.Shell(t, "bash", nil, nil, "8081", guidetest.Port(t), "8082", guidetest.Port(t))
	guidetest.CheckOutput(t, out)
	require.Equal(t, 2, strings.Count(out, "msg=listening"), out)
	require.Equal(t, 2, strings.Count(out, "service: stopping"), out)
	require.Equal(t, 2, strings.Count(out, `{"error":"Invalid signature"}`), "one more than the first program prints\n%s", out)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	const secret = "DEPLOYHOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	const previous = "DEPLOYHOOK_SECRET_PREVIOUS=whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	for _, test := range []struct {
		env  []string
		want string
	}{
		{nil, "DEPLOYHOOK_SECRET"},
		{[]string{secret, previous}, "DEPLOYHOOK_SECRET_PREVIOUS_UNTIL"},
		{[]string{secret, previous, "DEPLOYHOOK_SECRET_PREVIOUS_UNTIL=soon"}, "want a time such as"},
	} {
		require.ErrorContains(t, guidetest.Start(t, test.env, "-addr", "127.0.0.1:0").Wait(), test.want)
	}
	p := guidetest.Start(t, []string{secret, previous, "DEPLOYHOOK_SECRET_PREVIOUS_UNTIL=2030-01-01T00:00:00Z"}, "-addr", "127.0.0.1:0", "-drain", "0")
	p.Match("msg=listening")
	require.NoError(t, p.Stop())
}
