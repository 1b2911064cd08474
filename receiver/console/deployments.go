package console

import (
	"errors"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// orgPath leads to the pages of an organization.
func orgPath(org string) string { return "orgs/" + url.PathEscape(org) + "/" }

// orgRow is an organization in a list.
type orgRow struct{ Name, Path string }

// chooseOrganization returns the screen that leads to a page of the viewer's
// organization, or asks which one.
func chooseOrganization(part, to string) func(*view) error {
	return func(v *view) error {
		orgs := v.access.Organizations
		switch len(orgs) {
		case 0:
			return errNothing
		case 1:
			return v.redirect(orgPath(orgs[0]) + to)
		}
		rows := make([]orgRow, len(orgs))
		for i, org := range slices.Sorted(slices.Values(orgs)) {
			rows[i] = orgRow{org, v.root + orgPath(org) + to}
		}
		return v.render(page{template: "orgs.html", title: part, current: part, data: struct {
			scope
			Rows []orgRow
		}{v.scope(), rows}})
	}
}

// orgCrumbs lead from the choice of an organization to a page. Pairs are texts
// and paths below the organization.
func (v *view) orgCrumbs(part, to string, pairs ...string) []webui.Link {
	var all []string
	if len(v.access.Organizations) > 1 {
		all = append(all, part, to)
	}
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, pairs[i], orgPath(v.params["org"])+pairs[i+1])
	}
	return v.crumbs(all...)
}

func scopeQuery(s deployments.Scope) url.Values {
	return url.Values{"service": {s.Service}, "environment": {s.Environment}}
}

func scopeOf(q url.Values) deployments.Scope {
	return deployments.Scope{Service: q.Get("service"), Environment: q.Get("environment")}
}

// scopesOnPage bounds the services and environments of one page.
const scopesOnPage = 50

// scopeList is a page of services and environments whose name contains a text.
type scopeList struct {
	Text   string
	Scopes []deployments.Scope
	All    int // how many match
	Next   string
	Older  bool
}

func (v *view) scopeList(all []deployments.Scope) scopeList {
	q := v.r.URL.Query()
	l := scopeList{Text: q.Get("text")}
	for _, s := range all {
		if l.Text == "" || strings.Contains(s.Service, l.Text) || strings.Contains(s.Environment, l.Text) {
			l.Scopes = append(l.Scopes, s)
		}
	}
	l.All = len(l.Scopes)
	from, _ := strconv.Atoi(q.Get("from"))
	from = min(max(from, 0), l.All)
	l.Older = from > 0
	l.Scopes = l.Scopes[from:]
	if len(l.Scopes) > scopesOnPage {
		l.Scopes = l.Scopes[:scopesOnPage]
		l.Next = url.Values{"text": {l.Text}, "from": {strconv.Itoa(from + scopesOnPage)}}.Encode()
	}
	return l
}

// NextQuery is the next page in a URL.
func (l scopeList) NextQuery() template.URL { return template.URL(l.Next) }

// scopeRow is a service in an environment, with what is live there.
type scopeRow struct {
	deployments.Scope

	History string // leads to its deployments
	Live    *deploymentRow
	Latest  *deploymentRow // nil if it is the live one
}

// deploymentRow is a deployment in a list.
type deploymentRow struct {
	*deployments.Record

	Path string
}

// ID is the sender's ID.
func (r deploymentRow) ID() string { return r.Deployment.DeploymentID }

// What is the version, or else the commit.
func (r deploymentRow) What() string {
	if r.Deployment.Version != "" {
		return r.Deployment.Version
	}
	return shortCommit(r.Deployment.CommitSHA)
}

// Commit is the beginning of the commit.
func (r deploymentRow) Commit() string { return shortCommit(r.Deployment.CommitSHA) }

// Tag is the status in a word, and its color.
func (r deploymentRow) Tag() webui.Tag { return statusTag(r.Deployment.Status) }

func shortCommit(sha string) string { return sha[:min(len(sha), 10)] }

func statusTag(s payload.Status) webui.Tag {
	switch s {
	case payload.StatusSuccess:
		return webui.Good("Succeeded")
	case payload.StatusFailure:
		return webui.Bad("Failed")
	case payload.StatusRolledBack:
		return webui.Bad("Rolled back")
	case payload.StatusInProgress:
		return webui.Wait("In progress")
	case payload.StatusPending:
		return webui.Wait("Pending")
	}
	return webui.Idle("Cancelled")
}

func (v *view) deploymentPath(id string) string {
	return v.root + orgPath(v.params["org"]) + "deployment?" + url.Values{"id": {id}}.Encode()
}

func (v *view) deploymentRow(r *deployments.Record) *deploymentRow {
	return &deploymentRow{r, v.deploymentPath(r.Deployment.DeploymentID)}
}

func showDeployments(v *view) error {
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	org := v.params["org"]
	scopes, err := v.ledger.Scopes(ctx, org)
	if err != nil {
		return err
	}
	list := v.scopeList(scopes)
	rows := make([]scopeRow, len(list.Scopes))
	for i, s := range list.Scopes {
		rows[i] = scopeRow{Scope: s, History: v.root + orgPath(org) + "history?" + scopeQuery(s).Encode()}
		live, err := v.ledger.Live(ctx, org, s, v.now)
		switch {
		case err == nil:
			rows[i].Live = v.deploymentRow(live)
		case !errors.Is(err, deployments.ErrNotRecorded):
			return err
		}
		latest, err := v.ledger.Latest(ctx, org, s, deployments.Page{Limit: 1})
		if err != nil {
			return err
		}
		if len(latest.Items) > 0 && (live == nil || latest.Items[0].ID != live.ID) {
			rows[i].Latest = v.deploymentRow(&latest.Items[0])
		}
	}
	return v.render(page{
		template: "deployments.html", title: "Deployments of " + org, current: partDeployments, crumbs: v.orgCrumbs(partDeployments, "deployments"), live: true,
		data: struct {
			scope
			Rows []scopeRow
			List scopeList
			Here string
			Any  bool
		}{v.scope(), rows, list, v.root + orgPath(org) + "deployments", len(scopes) > 0},
	})
}

func showHistory(v *view) error {
	q := v.r.URL.Query()
	s, org, cursor := scopeOf(q), v.params["org"], q.Get("cursor")
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	list, err := v.ledger.Latest(ctx, org, s, deployments.Page{Cursor: cursor})
	if err != nil {
		return err
	}
	rows := make([]*deploymentRow, len(list.Items))
	for i := range list.Items {
		rows[i] = v.deploymentRow(&list.Items[i])
	}
	here := v.root + orgPath(org) + "history?" + scopeQuery(s).Encode()
	metrics := ""
	if v.metrics != nil {
		metrics = v.root + orgPath(org) + "metrics/report?" + scopeQuery(s).Encode()
	}
	return v.render(page{
		template: "history.html", title: scopeTitle(s), current: partDeployments, live: cursor == "",
		crumbs: v.orgCrumbs(partDeployments, "deployments", "Deployments of "+org, "deployments"),
		data: struct {
			scope
			Rows                []*deploymentRow
			Here, Next, Metrics string
			First               bool
		}{v.scope(), rows, here, next(here, list.Next), metrics, cursor == ""},
	})
}

// next leads to the next page, or is empty.
func next(here, cursor string) string {
	if cursor == "" {
		return ""
	}
	return here + "&" + url.Values{"cursor": {cursor}}.Encode()
}

func scopeTitle(s deployments.Scope) string {
	service := s.Service
	if service == "" {
		service = "No service"
	}
	return service + " in " + s.Environment
}

// took is how long a deployment took, or zero.
func (r deploymentRow) Took() time.Duration {
	if r.Deployment.CompletedAt.IsZero() {
		return 0
	}
	return r.Deployment.CompletedAt.Sub(r.Deployment.StartedAt)
}
