"""Computes the five DORA metrics of generated histories, for comparison.

It follows the rules in the package's documentation and shares no code and no
data structure with the Go implementation. It is slow on purpose: every rule is
a search through plain lists and sets.

    python3 reference.py > histories.json

The output is committed. The Go test feeds the same deliveries, incidents and
commits to a ledger and compares every figure.
"""

import json
import random
import statistics
import sys
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

START = int(datetime(2026, 2, 20, tzinfo=timezone.utc).timestamp())
DAY = 86400


def stamp(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- generating -------------------------------------------------------------


def make_commits(rng, repo, count):
    """A history with branches and merges, oldest first."""
    commits, clock = [], START - 20 * DAY
    for i in range(count):
        clock += rng.randrange(600, 3 * DAY)
        parents = []
        if i:
            parents.append(commits[rng.choice([i - 1, i - 1, i - 1, rng.randrange(i)])]["id"])
            if i > 3 and rng.random() < 0.2:
                other = commits[rng.randrange(i)]["id"]
                if other not in parents:
                    parents.append(other)
            if rng.random() < 0.03:
                parents = []  # an unrelated history
        commits.append({
            "id": "%08x" % rng.getrandbits(32),
            "parents": parents,
            "authored": stamp(clock),
            "committed": stamp(clock + rng.randrange(0, 7200)),
            "subject": 'Revert "something"' if rng.random() < 0.08 else "Change %s %d" % (repo or "main", i),
        })
    return commits


def make_deliveries(rng, ident, commit, extra, start):
    base = {"deploymentId": ident, "commitSha": commit, "environment": "production", "service": "api"}
    base.update(extra)
    end = start + rng.randrange(0, 3600)
    later = end + rng.randrange(0, 2 * DAY)

    def said(status, started, completed=None):
        d = dict(base, status=status, startedAt=stamp(started))
        if completed is not None:
            d["completedAt"] = stamp(completed)
        return d

    pending, running = said("pending", start), said("in_progress", start)
    success = said("success", start, end)
    kind = rng.choices(
        ["live", "full", "rolled", "failed", "rolled_only", "cancelled", "again", "open"],
        [40, 20, 12, 8, 4, 4, 6, 3])[0]
    return {
        "live": [success],
        "full": [pending, running, success],
        "rolled": [running, success, said("rolled_back", start, later)],
        "failed": [pending, said("failure", start, end)],
        "rolled_only": [said("rolled_back", start, end)],
        "cancelled": [said("cancelled", start, end)],
        "again": [said("failure", start, end), said("success", end + 60, end + 900)],
        "open": [pending],
    }[kind]


def make_history(seed):
    rng = random.Random(seed)
    repos = {"": make_commits(rng, "", rng.randrange(4, 25))}
    web = "https://git.example/acme/web"
    if rng.random() < 0.4:
        repos[web] = make_commits(rng, "web", rng.randrange(3, 10))
    deliveries, clock, at = [], START, 0
    count = rng.randrange(0, 22)
    for i in range(count):
        clock += rng.choice([0, 60, 3600, rng.randrange(0, 6 * DAY)])
        main = repos[""]
        at = min(len(main) - 1, max(0, at + rng.choice([0, 1, 1, 1, 2, 3, -1, -2])))
        commit = main[at]["id"] if rng.random() < 0.95 else "%08x" % rng.getrandbits(32)
        extra = {}
        if web in repos and rng.random() < 0.7:
            extra["commits"] = [{"repositoryUrl": web, "commitSha": rng.choice(repos[web])["id"]}]
        if rng.random() < 0.08:
            extra["branch"] = rng.choice(["hotfix/login", "revert-12-login", "hotfixes"])
        if i and rng.random() < 0.08:
            extra["rollbackOf"] = "d%02d" % rng.randrange(i)
        if rng.random() < 0.08:
            extra["incidentUrl"] = "https://incidents.example/%d" % rng.randrange(4)
        deliveries += make_deliveries(rng, "d%02d" % i, commit, extra, clock)
    incidents = []
    for i in range(rng.randrange(0, 7)):
        opened = START + rng.randrange(-5 * DAY, 70 * DAY)
        incident = {"incidentId": "i%d" % i, "service": "api", "environment": "production", "openedAt": stamp(opened),
                    "url": "https://incidents.example/%d" % i}
        if rng.random() < 0.6:
            incident["resolvedAt"] = stamp(opened + rng.randrange(0, 3 * DAY))
        if count and rng.random() < 0.25:
            incident["deploymentId"] = "d%02d" % rng.randrange(count)
        if rng.random() < 0.1:
            incident["service"] = "other"
        incidents.append(incident)
    zone = rng.choice(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
    first = date(2026, 2, 18) + timedelta(days=rng.randrange(0, 30))
    last = first + timedelta(days=rng.randrange(1, 60))
    rng.shuffle(deliveries)
    return {"seed": seed, "zone": zone, "from": first.isoformat(), "to": last.isoformat(),
            "deliveries": deliveries, "incidents": incidents, "repositories": repos}


# --- computing --------------------------------------------------------------


def seconds(text):
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp())


def live_deployments(deliveries):
    by_id = {}
    for d in deliveries:
        by_id.setdefault(d["deploymentId"], []).append(d)
    live, ended = [], []
    for ident, said in by_id.items():
        successes = sorted(seconds(d["completedAt"]) for d in said if d["status"] == "success")
        ends = [seconds(d["completedAt"]) for d in said if "completedAt" in d]
        if not successes:
            if ends:
                ended.append((max(ends), ident))
            continue
        went = successes[0]
        back = sorted(seconds(d["completedAt"]) for d in said
                      if d["status"] == "rolled_back" and seconds(d["completedAt"]) >= went)
        d = said[0]
        repos = {d.get("repositoryUrl", ""): d["commitSha"]}
        for c in d.get("commits", []):
            repos[c["repositoryUrl"]] = c["commitSha"]
        live.append({"id": ident, "live": went, "back": back[0] if back else None, "repos": repos, "said": d})
    live.sort(key=lambda d: (d["live"], d["id"]))
    return live, ended


def running_before(live, i):
    for e in reversed(live[:i]):
        if e["back"] is None or e["back"] > live[i]["live"]:
            return e
    return None


def median(values):
    return statistics.median(values)


def percentile(values, p):
    values = sorted(values)
    place = (len(values) - 1) * p
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def blame(h, live):
    """Who failed, which deployments remediate, and when each failure ended."""
    by_id = {d["id"]: i for i, d in enumerate(live)}
    subjects = {c["id"]: c["subject"] for c in h["repositories"][""]}
    failed, remediation, rollback, ends, tickets = set(), set(), set(), {}, {}

    def fail(i, end=None):
        failed.add(i)
        if end is not None:
            ends.setdefault(i, []).append(end)

    of_incident = {}
    for n in h["incidents"]:
        target = None
        if "deploymentId" in n:
            target = by_id.get(n["deploymentId"])
        elif n["service"] == "api" and n["environment"] == "production":
            before = [i for i, d in enumerate(live) if d["live"] <= seconds(n["openedAt"])]
            target = before[-1] if before else None
        if target is not None:
            fail(target)
            tickets.setdefault(target, []).append(n)
            of_incident[n["url"]] = target
    for i, d in enumerate(live):
        if d["back"] is not None:
            fail(i, d["back"])
        said = d["said"]
        linked = by_id.get(said.get("rollbackOf"))
        if linked is not None and linked < i:
            fail(linked, d["live"])
            remediation.add(i)
            rollback.add(i)
            continue
        if "incidentUrl" in said:
            remediation.add(i)
            target = of_incident.get(said["incidentUrl"])
            if target is not None and target < i:
                fail(target, d["live"])
                continue
        running = running_before(live, i)
        if running is None or running["repos"] != d["repos"]:
            earlier = [j for j in range(i) if live[j]["repos"] == d["repos"]]
            if earlier:
                if earlier[-1] + 1 < i:
                    fail(earlier[-1] + 1, d["live"])
                    remediation.add(i)
                    rollback.add(i)
                    continue
        branch = said.get("branch", "")
        marked = branch.startswith(("hotfix/", "hotfix-", "revert/", "revert-")) or branch in ("hotfix", "revert")
        if marked or subjects.get(said["commitSha"], "").startswith('Revert "'):
            remediation.add(i)
            if i:
                fail(i - 1, d["live"])
    recovered = {}
    for i in failed:
        if i in ends:
            recovered[i] = min(ends[i]) - live[i]["live"]
        elif all("resolvedAt" in n for n in tickets[i]):
            recovered[i] = max(seconds(n["resolvedAt"]) for n in tickets[i]) - live[i]["live"]
        else:
            recovered[i] = None
    return failed, remediation, rollback, recovered


def lead_times(h, live):
    """For each deployment its commits' lead times, and why it has none."""
    leads = [[] for _ in live]
    none = [[] for _ in live]
    for repo, commits in [(r, h["repositories"].get(r, [])) for r in sorted({r for d in live for r in d["repos"]})]:
        graph = {c["id"]: c for c in commits}

        def ancestors(name):
            found, todo = set(), [name]
            while todo:
                c = todo.pop()
                if c not in found:
                    found.add(c)
                    todo += graph[c]["parents"]
            return found

        deployed = set()
        inside = [d for d in live if repo in d["repos"]]
        for i, d in enumerate(live):
            if repo not in d["repos"]:
                continue
            head, place = d["repos"][repo], inside.index(d)
            previous = running_before(inside, place) or (inside[place - 1] if place else None)
            if place == 0:
                none[i].append("first")
            elif previous["repos"][repo] == head:
                none[i].append("redeployment")
            elif head not in graph:
                none[i].append("gap")
            elif head in deployed:
                none[i].append("going_back")
            elif previous["repos"][repo] not in graph:
                none[i].append("gap")
            elif not ancestors(head) & deployed:
                none[i].append("gap")
            else:
                new = [graph[c] for c in ancestors(head) - deployed if len(graph[c]["parents"]) < 2]
                times = [d["live"] - seconds(c["authored"]) for c in new]
                leads[i] += [t for t in times if t >= 0]
                none[i] += ["clock"] * len([t for t in times if t < 0])
                if not new:
                    none[i].append("merges")
            if head in graph:
                deployed |= ancestors(head)
    return leads, none


def figures(h):
    zone = ZoneInfo(h["zone"])
    first, last = date.fromisoformat(h["from"]), date.fromisoformat(h["to"])
    live, ended = live_deployments(h["deliveries"])

    def inside(t):
        return first <= datetime.fromtimestamp(t, zone).date() < last

    failed, remediation, rollback, recovered = blame(h, live)
    leads, none = lead_times(h, live)
    counted = [i for i, d in enumerate(live) if inside(d["live"])]
    out = {"deployments": [live[i]["id"] for i in counted],
           "not_live": sorted(ident for t, ident in ended if inside(t))}

    times = [t for i in counted for t in leads[i]]
    lead = {"n": len(times), "left_out": {}}
    for i in counted:
        for reason in none[i]:
            lead["left_out"][reason] = lead["left_out"].get(reason, 0) + 1
    if times:
        lead["median_seconds"], lead["p90_seconds"] = median(times), percentile(times, 0.9)
    out["change_lead_time"] = lead

    frequency = {"n": len(counted)}
    known = any(datetime.fromtimestamp(seconds(d["startedAt"]), zone).date() < last for d in h["deliveries"])
    if known:
        days = [first + timedelta(days=k) for k in range((last - first).days)]
        frequency["per_day"] = len(counted) / len(days)
        busy = {datetime.fromtimestamp(live[i]["live"], zone).date() for i in counted}
        weeks = [len([k for k in range(7) if m + timedelta(days=k) in busy])
                 for m in days if m.weekday() == 0 and m + timedelta(days=7) <= last]
        if weeks:
            frequency["days_per_week"] = median(weeks)
    out["deployment_frequency"] = frequency

    def rate(members, of):
        hit = [live[i]["id"] for i in of if i in members]
        r = {"n": len(of), "of": hit}
        if of:
            r["rate"] = len(hit) / len(of)
        return r

    out["change_fail_rate"] = rate(failed, counted)
    out["change_fail_rate_without_rollbacks"] = rate(failed, [i for i in counted if i not in rollback])
    out["deployment_rework_rate"] = rate(remediation, counted)
    mine = [recovered[i] for i in counted if i in failed and recovered[i] is not None and recovered[i] >= 0]
    recovery = {"n": len(mine), "unresolved": [live[i]["id"] for i in counted if i in failed and recovered[i] is None]}
    if mine:
        recovery["median_seconds"] = median(mine)
    out["failed_deployment_recovery_time"] = recovery
    return out


def main():
    json.dump([dict(h, figures=figures(h)) for h in map(make_history, range(60))], sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
