package console

import (
	"errors"
	"strings"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// reportRow is a delivery about a deployment, as far as the ledger keeps it.
type reportRow struct {
	*payload.Deployment

	Tag   webui.Tag
	Short string // commit
}

// repositoryRow is a further repository of a deployment.
type repositoryRow struct{ URL, Commit, Previous string }

func showDeployment(v *view) error {
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	org := v.params["org"]
	r, err := v.ledger.Get(ctx, org, v.r.URL.Query().Get("id"))
	if err != nil {
		return err
	}
	d := r.Deployment
	s := deployments.Scope{Service: d.Service, Environment: d.Environment}
	live, err := v.ledger.Live(ctx, org, s, v.now)
	if err != nil && !errors.Is(err, deployments.ErrNotRecorded) {
		return err
	}
	document, err := d.Encode()
	if err != nil {
		return err
	}
	rollback := ""
	if d.RollbackOf != "" {
		rollback = v.deploymentPath(d.RollbackOf)
	}
	history := v.root + orgPath(org) + "history?" + scopeQuery(s).Encode()
	return v.render(page{
		template: "deployment.html", title: d.DeploymentID, current: partDeployments, live: !d.Status.Terminal(),
		crumbs: v.orgCrumbs(partDeployments, "deployments", "Deployments of "+org, "deployments", scopeTitle(s), "history?"+scopeQuery(s).Encode()),
		data: struct {
			scope
			R                 *deploymentRow
			D                 *payload.Deployment
			Reason            reason
			Linked            string
			Reports           []reportRow
			Repositories      []repositoryRow
			Document          webui.Body
			Rollback, History string
		}{
			v.scope(), v.deploymentRow(r), d, deploymentReason(r, live), linkedText(r), reportRows(r), repositoryRows(r), webui.NewBody(document), rollback, history,
		},
	})
}

// deploymentReason says what became of a deployment. live is what is live now,
// or nil.
func deploymentReason(r, live *deployments.Record) reason {
	switch r.Deployment.Status {
	case payload.StatusSuccess:
		switch {
		case live == nil:
			return reason{"good", "It succeeded.", ""}
		case live.ID == r.ID:
			return reason{"good", "It is live.", ""}
		}
		return reason{"idle", "It was live until another deployment followed.", ""}
	case payload.StatusFailure:
		return reason{"bad", "It failed and did not go live.", "The page of its pipeline says why, if the sender gave one."}
	case payload.StatusRolledBack:
		if r.SucceededAt.IsZero() {
			return reason{"bad", "It was rolled back. No success was reported.", ""}
		}
		return reason{"bad", "It was live, and was rolled back.", ""}
	case payload.StatusCancelled:
		return reason{"idle", "It was cancelled.", ""}
	}
	return reason{"wait", "It has not ended.", "If the pipeline is over, its last report is missing. Check that it reports failures and cancellations, too."}
}

// linkedText says how many pull requests a deployment brought.
func linkedText(r *deployments.Record) string {
	d := r.Deployment
	if !r.Linked {
		if d.Status != payload.StatusSuccess {
			return "Not counted. Only those of successful deployments are."
		}
		return "Not counted. The environment may not be linked, or counting failed. The log says which."
	}
	text := webui.Plural(r.LinkedPRs, "merged pull request")
	if d.PreviousCommitSHA != "" {
		return text + " after " + webui.Clip(shortCommit(d.PreviousCommitSHA), 40) + ", up to " + shortCommit(d.CommitSHA)
	}
	return text + " with " + shortCommit(d.CommitSHA) + ". No previous commit is known."
}

// reportRows are the deliveries in the order of what they tell.
func reportRows(r *deployments.Record) []reportRow {
	rows := make([]reportRow, len(r.Reports))
	for i, d := range r.Reports {
		rows[i] = reportRow{d, statusTag(d.Status), shortCommit(d.CommitSHA)}
	}
	return rows
}

// maxRepositories bounds the further repositories of a page.
const maxRepositories = 30

func repositoryRows(r *deployments.Record) (rows []repositoryRow) {
	for _, c := range r.Deployment.Commits {
		if len(rows) == maxRepositories {
			break
		}
		row := repositoryRow{URL: c.RepositoryURL, Commit: shortCommit(c.CommitSHA)}
		for _, p := range r.PreviousCommits {
			if strings.EqualFold(p.RepositoryURL, c.RepositoryURL) {
				row.Previous = shortCommit(p.Commit)
			}
		}
		rows = append(rows, row)
	}
	return rows
}
