package rules

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	codeSpan = regexp.MustCompile("`+[^`\n]*`+")
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *#*$`)
	// A link in a page is [text](target), [name]: target, or an attribute of HTML.
	pageLink = regexp.MustCompile(`\]\(<?([^)\s>]+)>?[^)]*\)|(?m:^\[[^\]]+\]: *(\S+))|(?:href|src)="([^"]+)"`)
	anchor   = regexp.MustCompile(`(?:id|name)="([^"]+)"`)
	linkText = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	scheme   = regexp.MustCompile(`^[a-z][a-z+.-]*:`)
)

// Every link of a page to a file of this repository leads somewhere, and every
// anchor is a heading. The text of the link may have code in it.
func TestLinks_Resolve(t *testing.T) {
	t.Parallel()
	all, links := pages(t), 0
	for name, text := range all {
		for _, target := range linksOf(text) {
			links++
			if problem := broken(all, name, target); problem != "" {
				t.Errorf("%s: the link to %s: %s", name, target, problem)
			}
		}
	}
	require.Greater(t, links, 100, "the test finds the links")
}

// pages returns the Markdown files of the repository, apart from test data.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root, all := filepath.Join("..", ".."), map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "node_modules" || entry.Name() == ".git"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		relative, err := filepath.Rel(root, name)
		require.NoError(t, err)
		text, err := os.ReadFile(name)
		all[filepath.ToSlash(relative)] = string(text)
		return err
	}))
	return all
}

// linksOf returns the targets of all links outside code.
func linksOf(page string) (targets []string) {
	for _, m := range pageLink.FindAllStringSubmatch(codeSpan.ReplaceAllString(unfenced(page), "code"), -1) {
		target := m[1] + m[2] + m[3]
		if !scheme.MatchString(target) {
			targets = append(targets, target)
		}
	}
	return targets
}

// unfenced returns a page without its code blocks.
func unfenced(page string) string {
	var b strings.Builder
	fenced := false
	for line := range strings.Lines(page) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		} else if !fenced {
			b.WriteString(line)
		}
	}
	return b.String()
}

// broken says what is wrong with a link of a page.
func broken(all map[string]string, page, target string) string {
	file, fragment, _ := strings.Cut(target, "#")
	if file == "" {
		file = page
	} else if file = path.Join(path.Dir(page), file); !exists(file) || strings.HasPrefix(file, "../") {
		return "the repository has no such file"
	}
	if fragment == "" {
		return ""
	}
	text, ok := all[file]
	if !ok {
		return "only pages have anchors"
	}
	if !anchors(text)[fragment] {
		return "the page has no such heading"
	}
	return ""
}

// anchors returns the anchors that GitHub gives to a page's headings, and those
// that the page has as HTML.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	page = unfenced(page)
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		name := slug(m[1])
		for n, first := 1, name; found[name]; n++ {
			name = fmt.Sprintf("%s-%d", first, n)
		}
		found[name] = true
	}
	for _, m := range anchor.FindAllStringSubmatch(page, -1) {
		found[m[1]] = true
	}
	return found
}

func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, linkText.ReplaceAllString(heading, "$1"))
}

func TestLinksOf(t *testing.T) {
	t.Parallel()
	all := map[string]string{
		"README.md": "# One\n\n[`code`](x.md#two-2) ![i](y.png \"title\") `[no](no.md)`\n```\n[no](no.md)\n```\n" +
			"[out](https://example.com)\n[ref]: z.md\n<img src=\"w.png\">\n",
		".github/x.md": "## `receiver.New`, and [more](x.md)!\n## Same\n## Same\n```\n## Not\n```\n<a id=\"own\"></a>\n",
	}
	assert.Equal(t, []string{"x.md#two-2", "y.png", "z.md", "w.png"}, linksOf(all["README.md"]))
	assert.Equal(t, map[string]bool{"receivernew-and-more": true, "same": true, "same-1": true, "own": true}, anchors(all[".github/x.md"]))
	for target, fine := range map[string]bool{
		"#one": true, "#two": false, "go.mod": true, "go.mod#one": false, "nothing.md": false, "../deployhook/go.mod": false, "payload": true,
	} {
		assert.Equal(t, fine, broken(all, "README.md", target) == "", target)
	}
	assert.Empty(t, broken(all, ".github/SECURITY.md", "../README.md#one"))
}
