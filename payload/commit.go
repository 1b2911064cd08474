package payload

import "strings"

const (
	// maxCommit is the maximum number of digits in a record's commit.
	maxCommit = 40
	// sha256Digits is the number of digits in a SHA-256 commit hash.
	sha256Digits = 64
	// metaCommitSHA256 is the metadata member that holds a full SHA-256 commit.
	metaCommitSHA256 = "commit_sha256"
)

// SetCommit sets CommitSHA. A record's commit has at most 40 digits, but a
// SHA-256 commit has 64. SetCommit then stores the first 40, which git can
// resolve, and puts the full hash into the metadata as commit_sha256.
func (d *Deployment) SetCommit(sha string) {
	d.CommitSHA = sha
	if len(sha) == sha256Digits && isHex(sha, sha256Digits) {
		d.CommitSHA = sha[:maxCommit]
		_ = d.Metadata.Set(metaCommitSHA256, sha) // A string of digits is always valid metadata.
	}
}

// wholeCommit reverses SetCommit. It returns the full commit, and the metadata
// without it.
func (d *Deployment) wholeCommit() (sha string, metadata Metadata) {
	value, _ := d.Metadata.Get(metaCommitSHA256)
	whole, _ := value.Text()
	if len(whole) != sha256Digits || len(d.CommitSHA) != maxCommit || !strings.HasPrefix(whole, d.CommitSHA) {
		return d.CommitSHA, d.Metadata
	}
	if d.Metadata.Len() == 1 {
		return whole, Metadata{}
	}
	metadata = d.Metadata
	metadata.Delete(metaCommitSHA256)
	return whole, metadata
}
