package gitlinker_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The pull request that each message names. 0 means none.
var messages = map[string]int{
	"Merge pull request #12 from acme/fix-timeout\n\nFix the timeout":                                      12,
	"Merge pull request #12 from acme/fix-#13":                                                             12,
	"Merge pull request #12 in SHOP/api from fix to master":                                                12,
	"Merge pull request 12 from fix into main":                                                             12,
	"Merge pull request 'Fix it (#7)' (#12) from fix into main":                                            12,
	"Merge pull request 'Fix' (!12) from fix into main":                                                    12,
	"Merged in fix-timeout (pull request #12)\n\nFix":                                                      12,
	"Merged PR 12: Fix the timeout":                                                                        12,
	"Fix the timeout (#12)":                                                                                12,
	"Fix the timeout (!12)":                                                                                12,
	"Fix the timeout (pull request #12)":                                                                   12,
	"Fix the timeout (#12)\r\n\r\nbody":                                                                    12,
	"Fix the timeout (#12)   ":                                                                             12,
	"Fix a very long\nsubject on two lines (#12)\n\nbody":                                                  12,
	"Backport: fix the timeout (#7) (#12)":                                                                 12,
	"Ändere die Zeit (#12)":                                                                                12,
	"Merge branch 'fix' into 'main'\n\nFix\n\nSee merge request acme/api!12":                               12,
	"Merge branch 'fix' into 'main'\n\nFix\n\nSee merge request acme/sub/group/api!12\n":                   12,
	"Merge branch 'fix' into 'main'\n\nFix\n\nSee merge request !12":                                       12,
	"Merge branch 'fix' into 'main'\n\nSee merge request acme/api!7\n\nmore\n\nSee merge request x/api!12": 12,
	`Revert "Fix the timeout (#12)" (#13)`:                                                                 13,
	`Reapply "Fix the timeout (#12)" (#14)`:                                                                14,
	// no title
	"(#12)":                    0,
	"Fix (#2147483)":           2147483,
	"Fix the timeout (#012)":   0,
	"Fix the timeout (#0)":     0,
	"Fix (#99999999999999999)": 0,

	`Revert "Fix the timeout (#12)"`:                                                                    0,
	`Revert "Merge pull request #12 from acme/fix"`:                                                     0,
	"Revert \"Merge branch 'fix' into 'main'\"\n\nThis reverts merge request !12":                       0,
	"Revert \"Merge branch 'fix' into 'main'\"\n\n> See merge request a/b!12\nSee merge request a/b!12": 0,
	"(#12) fix the timeout":                              0,
	"Fix (#12) the timeout":                              0,
	"Fix the timeout, fixes #12":                         0,
	"Fix the timeout #12":                                0,
	"Fix the timeout(#12)":                               0,
	"Fix the timeout\n\nfixes #12":                       0,
	"Fix the timeout\n\nsee (#12)":                       0,
	"Fix the timeout\n\nMerge pull request #12 from a/b": 0,
	"Fix\n\nSee merge request acme/api!12 for more":      0,
	"Fix\n\nplease See merge request acme/api!12":        0,
	"Merge pull request #12":                             0,
	"Merge pull request #12x from a/b":                   0,
	"merge pull request #12 from a/b":                    0,
	"Merge branch 'main' into fix":                       0,
	"Merge remote-tracking branch 'origin/pr/12'":        0,
	"Merged in Berlin":                                   0,
	"Merged PR 12 at last":                               0,
	"Bump x from 1 to 2 (GH-12)":                         0,
	"":                                                   0,
}

func TestMessages(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	var texts []string
	for text := range messages {
		texts = append(texts, text)
	}
	names := r.line("", texts...)
	l := newLinker(t, r.dir)
	for i, text := range texts {
		var want []int
		if messages[text] > 0 {
			want = []int{messages[text]}
		}
		got, err := l.PullRequests(t.Context(), link("", names[i]))
		require.NoError(t, err)
		require.ElementsMatch(t, want, numbers(got), "%q", text)
	}
}

// A message of any size is read.
func TestLongMessage(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	c := r.commit("Merge branch 'x' into 'main'\n\n" + strings.Repeat("commit 0123\n", 200_000) + "\nSee merge request a/b!12")
	requirePRs(t, newLinker(t, r.dir), "", c, 12)
}
