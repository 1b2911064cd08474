package ci_test

import (
	"context"
	"fmt"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

func ExampleDetect() {
	variables := map[string]string{ // a program uses os.Getenv
		"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1658821493", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "deploy",
		"GITHUB_REPOSITORY": "acme/shop", "GITHUB_REF": "refs/heads/main", "GITHUB_ACTOR": "ann", "GITHUB_WORKFLOW": "Deploy",
		"GITHUB_SHA": "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334", "GITHUB_SERVER_URL": "https://github.com",
	}
	run, err := ci.Detect(context.Background(), ci.Environment{
		Getenv: func(name string) string { return variables[name] },
		// A program also sets Files to os.DirFS("/"), and Git to a function
		// that runs git.
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Name, "does not tell", run.Missing)
	run.Environment = "production"
	run.Status = payload.StatusInProgress
	deployment := run.Deployment()
	fmt.Println(deployment.DeploymentID)
	fmt.Println(deployment.Service, deployment.Branch, deployment.TriggeredBy)
	fmt.Println(deployment.PipelineURL)
	// Output:
	// GitHub Actions does not tell [environment status startedAt previousCommitSha]
	// github-actions:1658821493:1:deploy:production
	// shop main ann
	// https://github.com/acme/shop/actions/runs/1658821493/attempts/1
}
