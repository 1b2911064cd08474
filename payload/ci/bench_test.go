package ci_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload/ci"
)

func BenchmarkDetect(b *testing.B) {
	for name, env := range map[string]ci.Environment{
		"first/forgejo":    {Getenv: github.with(vars{"FORGEJO_ACTIONS": "true"}).getenv},
		"github":           {Getenv: github.getenv},
		"github/eventfile": {Getenv: githubPull.getenv, Files: event(`{"pull_request":{"number":75,"head":{"sha":"` + headSHA + `"}}}`)},
		"gitlab":           {Getenv: gitlab.getenv},
		"jenkins":          {Getenv: jenkins.getenv},
		"last/heroku":      {Getenv: heroku.getenv},
		"none":             {Getenv: vars{}.getenv},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ci.Detect(context.Background(), env); err != nil {
					require.NoError(b, err)
				}
			}
		})
	}
}
