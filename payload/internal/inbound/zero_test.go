package inbound_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload/argocd"
	"github.com/deployhook/deployhook/payload/azure"
	"github.com/deployhook/deployhook/payload/bitbucket"
	"github.com/deployhook/deployhook/payload/circleci"
	"github.com/deployhook/deployhook/payload/coolify"
	"github.com/deployhook/deployhook/payload/dokploy"
	"github.com/deployhook/deployhook/payload/drone"
	"github.com/deployhook/deployhook/payload/flux"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/payload/gitlab"
	"github.com/deployhook/deployhook/payload/heroku"
	"github.com/deployhook/deployhook/payload/jenkins"
	"github.com/deployhook/deployhook/payload/netlify"
	"github.com/deployhook/deployhook/payload/render"
	"github.com/deployhook/deployhook/payload/temps"
	"github.com/deployhook/deployhook/payload/vercel"
)

// An option whose value is empty is an error in the decoder of each system, and
// not a silent default.
func TestOptions_ZeroIsAnError(t *testing.T) {
	t.Parallel()
	check := func(system, option string, err, config error) {
		require.ErrorIs(t, err, config, system)
		require.ErrorContains(t, err, option+": the value is empty; leave the option out", system)
	}
	_, err := azure.NewDecoder(azure.WithComplete(nil), azure.WithRuns(""))
	check("azure", "WithComplete", err, azure.ErrConfig)
	check("azure", "WithRuns", err, azure.ErrConfig)
	_, err = bitbucket.NewDecoder(bitbucket.WithComplete(nil), bitbucket.WithEnvironment(""))
	check("bitbucket", "WithComplete", err, bitbucket.ErrConfig)
	check("bitbucket", "WithEnvironment", err, bitbucket.ErrConfig)
	_, err = github.NewDecoder(github.WithComplete(nil))
	check("github", "WithComplete", err, github.ErrConfig)
	_, err = gitlab.NewDecoder(gitlab.WithComplete(nil))
	check("gitlab", "WithComplete", err, gitlab.ErrConfig)
	_, err = heroku.NewDecoder(heroku.WithComplete(nil), heroku.WithEnvironment(""))
	check("heroku", "WithComplete", err, heroku.ErrConfig)
	check("heroku", "WithEnvironment", err, heroku.ErrConfig)
	_, err = render.NewDecoder(render.WithComplete(nil), render.WithEnvironment(""))
	check("render", "WithComplete", err, render.ErrConfig)
	check("render", "WithEnvironment", err, render.ErrConfig)
	_, err = argocd.NewDecoder(argocd.WithComplete(nil), argocd.WithEnvironment(""))
	check("argocd", "WithComplete", err, argocd.ErrConfig)
	check("argocd", "WithEnvironment", err, argocd.ErrConfig)
	_, err = flux.NewDecoder(flux.WithComplete(nil), flux.WithEnvironment(""))
	check("flux", "WithComplete", err, flux.ErrConfig)
	check("flux", "WithEnvironment", err, flux.ErrConfig)
	_, err = dokploy.NewDecoder(dokploy.WithComplete(nil), dokploy.WithEnvironment(""))
	check("dokploy", "WithComplete", err, dokploy.ErrConfig)
	check("dokploy", "WithEnvironment", err, dokploy.ErrConfig)
	_, err = netlify.NewDecoder(netlify.WithComplete(nil))
	check("netlify", "WithComplete", err, netlify.ErrConfig)
	_, err = coolify.NewDecoder(coolify.WithComplete(nil))
	check("coolify", "WithComplete", err, coolify.ErrConfig)
	_, err = jenkins.NewDecoder(jenkins.WithComplete(nil), jenkins.WithEnvironment(""), jenkins.WithEnvironmentParameter(""))
	check("jenkins", "WithComplete", err, jenkins.ErrConfig)
	check("jenkins", "WithEnvironment", err, jenkins.ErrConfig)
	check("jenkins", "WithEnvironmentParameter", err, jenkins.ErrConfig)
	_, err = drone.NewDecoder(drone.WithComplete(nil))
	check("drone", "WithComplete", err, drone.ErrConfig)
	_, err = circleci.NewDecoder(circleci.WithComplete(nil), circleci.WithEnvironment(""), circleci.WithWorkflows())
	check("circleci", "WithComplete", err, circleci.ErrConfig)
	check("circleci", "WithEnvironment", err, circleci.ErrConfig)
	check("circleci", "WithWorkflows", err, circleci.ErrConfig)
	_, err = temps.NewDecoder(temps.WithComplete(nil))
	check("temps", "WithComplete", err, temps.ErrConfig)
	_, err = vercel.NewDecoder(vercel.WithComplete(nil))
	check("vercel", "WithComplete", err, vercel.ErrConfig)
	_, err = vercel.Decode(t.Context(), []byte("{}"), vercel.WithComplete(nil))
	check("vercel", "WithComplete", err, vercel.ErrConfig)
}
