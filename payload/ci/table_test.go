package ci

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Every expression in the table is well formed. All its variables are found,
// and no notation is left over in the result.
func TestTable(t *testing.T) {
	t.Parallel()
	ids := make(map[string]bool)
	for _, row := range systems {
		assert.False(t, ids[row.id], row.id)
		ids[row.id] = true
		assert.NotEmpty(t, row.detect, row.id)
		columns := reflect.ValueOf(row)
		for i := range columns.NumField() {
			if column := columns.Type().Field(i); column.Type.Kind() == reflect.String && column.Name != "keep" && column.Name != "name" {
				checkExpression(t, row.id+" "+column.Name, columns.Field(i).String())
			}
		}
		checkKeep(t, row)
	}
}

// checkKeep checks that the names for the metadata are all different, so that
// the document has no duplicates.
func checkKeep(t *testing.T, row system) {
	t.Helper()
	names := map[string]bool{
		"ci_system": true, "repository": true, "tag": true, "attempt": true, "job": true, "pull_request": true, "merge_commit": true,
		"commit_raw": true, "previous_commit_raw": true, "commit_from": true,
	}
	if row.keep == "" {
		return
	}
	for column := range strings.SplitSeq(row.keep, "; ") {
		name, expr, ok := strings.Cut(column, " = ")
		assert.True(t, ok, "%s: %s", row.id, column)
		assert.False(t, names[name], "%s: %s", row.id, name)
		names[name] = true
		checkExpression(t, row.id+" keep "+name, expr)
	}
}

func checkExpression(t *testing.T, where, expr string) {
	t.Helper()
	for term := range strings.SplitSeq(expr, " -> ") {
		assert.Equal(t, strings.TrimSpace(term), term, where)
		assert.Equal(t, strings.Count(term, "["), strings.Count(term, "]"), where)
		rest := strings.NewReplacer("[", "", "]", "").Replace(term)
		for i := 0; i < len(rest); i++ {
			if rest[i] == '$' || rest[i] == '@' {
				n := reference(rest[i:])
				assert.Greater(t, n, 1, "%s: %s", where, term)
				i += n - 1
				continue
			}
			assert.NotContains(t, "{}*! ", rest[i:i+1], "%s: %s", where, term)
		}
	}
}

// A file may contain passwords. Detect keeps only the values of it that the
// table names, also in memory.
func TestPropertiesKeepsNoPasswords(t *testing.T) {
	t.Parallel()
	values := make(map[string]string)
	parseProperties([]byte("teamcity.auth.password=secret\nteamcity.build.id=7\nteamcity.build.id.x=8\n"), values)
	assert.Equal(t, map[string]string{"teamcity.build.id": "7"}, values)
}
