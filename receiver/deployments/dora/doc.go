// Package dora computes the five DORA metrics of deployments, with the evidence
// behind each figure.
//
//	w, err := dora.NewWindow("Europe/Berlin", "2026-01-01", "2026-04-01")
//	if err != nil {
//		return err
//	}
//	calculator, err := dora.New(ledger, dora.WithCommits(linker)) // of package gitlinker
//	if err != nil {
//		return err
//	}
//	reports, err := calculator.Reports(ctx, "acme", w)
//
// Each [Report] is of one service in one environment of one organization. There
// is no blended figure, because it would mislead. [Compute] does the same for
// records from elsewhere. [NewHandler] serves reports over HTTP, and
// [Report.WriteText] prints one.
//
// # Figures
//
//	metric                           figure
//	change lead time                 median and 90th percentile over commits, from author to live
//	deployment frequency             deployments divided by days, and the median of deployment days a week
//	failed deployment recovery time  median from the failed deployment's live time to its end
//	change fail rate                 failed deployments divided by deployments
//	deployment rework rate           remediations divided by deployments
//
// A median is the mean of the two middle values of an even number, and a
// percentile interpolates. A figure that can't be measured is absent and never
// zero. It comes with the number of values, with what was left out and why, and
// with the deployments that it was computed from.
//
// # Deployments
//
// A deployment is one deployment ID that went live. It counts from the first
// success that was reported. A run that failed, was cancelled or was rolled
// back without a success counts nowhere, and is listed in [Report.NotLive].
//
// A window has whole days of a time zone, the last one exclusive. Weeks begin
// on Monday. Days without deployments are zeros if the scope has a record that
// started before the window's end. Otherwise the frequency is absent. The
// median of deployment days is over the whole weeks of the window.
//
// What arrives later changes the past. The same records in any order of arrival
// give the same report. A deployment of January is a failed one from the moment
// that an incident or a rollback in February says so.
//
// # Lead time
//
// A commit belongs to the first deployment of the scope that contains it. Merge
// commits do not count. The lead time begins with the time of the author, which
// a squash and a rebase keep. These deployments have none:
//
//	first          the first one of a repository in the scope
//	redeployment   the commit that was running
//	going_back     a commit that an earlier deployment contained
//	gap            its commit, or the one before it, is not in the history, or they share no history
//	merges         it brought merge commits alone
//	no_history     the repository can't be read
//
// The previous deployment is the last one that was not rolled back by then. A
// commit with a time after it went live is left out, with the reason clock.
//
// # Failures
//
// This is the evidence that a deployment failed, the strongest first:
//
//	link           rollbackOf of a later deployment names it, or deploymentId of an incident,
//	               or a later deployment links to an incident that was caused by it
//	rolled_back    it was rolled back after it was live
//	redeployment   a later deployment went back to a commit that was not the running one and had
//	               been live before. The first deployment after that earlier one failed
//	marker         the deployment after it is a hotfix or a revert, see IsMarked
//	incident       it was the last one to go live at the time of an incident or before
//
// A later deployment blames one other deployment, by the strongest evidence
// that it has. It is a remediation then. A deployment with a link to an
// incident is a remediation even without a record of the incident. A marked
// deployment is one even if it is the first. A rollbackOf that names no earlier
// live deployment is no evidence, since users never had what it takes back.
//
// A failed deployment has recovered with its first remediation or its rollback,
// whichever is earlier. Without them it has when the last of its incidents was
// resolved. Failed deployments that have not recovered are counted apart.
//
// # Options where systems differ
//
//	option             default                        other systems
//	WithoutRollbacks   rollbacks are deployments      leave them out of the change fail rate
//	WithCommitterTime  the author's time              count from the commit or the merge
//	WithMarker         branch names and git revert    labels, titles
//
// # Security properties
//
//   - A report is of one organization. The organization comes from the caller
//     or, in [NewHandler], from the API key.
//   - The commits of a window are bounded, see [WithMaxCommits].
//
// # Misuses
//
//   - Comparing teams by these figures. They tell one service from its own
//     past.
//   - Runs of the window alone as [Input]: the deployments before it say what
//     was live, and those after it say what failed.
//   - A clone without history: see package gitlinker.
package dora
