package ci

import (
	"net/url"
	"strings"
)

// jenkinsPipeline removes from JOB_NAME the parts that do not belong to the
// pipeline's name. These are the escaped branch that multibranch projects
// append, and the axes of a matrix project.
func jenkinsPipeline(s *scan, name string) string {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return name
	}
	last := name[i+1:]
	if branch, err := url.PathUnescape(last); err == nil && branch != "" && branch == s.env.Getenv("BRANCH_NAME") {
		return name[:i]
	}
	if strings.Contains(last, "=") {
		return name[:i]
	}
	return name
}
