#!/bin/sh
# Downloads one release of deploynotify, verifies it, and runs it with the
# given arguments. It runs only what matches the pinned digest.
#
#   DEPLOYNOTIFY_VERSION    the release, such as v0.1.0
#   DEPLOYNOTIFY_CHECKSUMS  SHA-256 of that release's checksums.txt, in hex
#   DEPLOYNOTIFY_MIRROR     where the releases are; default: GitHub
#
# It needs curl or wget, and sha256sum, shasum or openssl. The flags of
# deploynotify may also be given in the environment, as DEPLOYHOOK_...
set -eu

fail() {
	echo "deploynotify.sh: $*" >&2
	exit 1
}

# unavailable ends the script if the release can't be downloaded. With -fail-open
# that does not fail the deployment. A wrong digest always does.
unavailable() {
	fail_open=${DEPLOYHOOK_FAIL_OPEN:-}
	case $arguments in *' -fail-open '* | *' --fail-open '*) fail_open=true ;; esac
	case $fail_open in
	1 | t | T | true | TRUE | True)
		echo "deploynotify.sh: NOT delivered, but the exit status is 0 because of -fail-open: $*" >&2
		exit 0
		;;
	esac
	fail "$*"
}

# fetch URL FILE. The file is verified later, so redirects are safe.
fetch() {
	if command -v curl >/dev/null 2>&1; then
		curl --fail --silent --show-error --location --proto '=https' --proto-redir '=https' \
			--retry 3 --connect-timeout 10 --max-time 120 --output "$2" "$1"
	elif command -v wget >/dev/null 2>&1; then
		wget -q -T 30 -O "$2" "$1"
	else
		fail "needs curl or wget"
	fi || unavailable "can't download $1"
}

# sha256 FILE prints the digest in lower-case hex.
sha256() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum <"$1"
	elif command -v shasum >/dev/null 2>&1; then
		shasum -a 256 <"$1"
	elif command -v openssl >/dev/null 2>&1; then
		openssl dgst -sha256 -r <"$1"
	else
		fail "needs sha256sum, shasum or openssl"
	fi | cut -c 1-64
}

# verify FILE DIGEST NAME
verify() {
	actual=$(sha256 "$1")
	[ "$actual" = "$2" ] || fail "$3 has the SHA-256 ${actual:-(none)}, but $2 was expected; nothing was run"
}

arguments=" $* "
version=${DEPLOYNOTIFY_VERSION:-}
pinned=${DEPLOYNOTIFY_CHECKSUMS:-}
mirror=${DEPLOYNOTIFY_MIRROR:-https://github.com/deployhook/deployhook/releases/download}

case $version in
*[!0-9A-Za-z.+-]*) fail "DEPLOYNOTIFY_VERSION (input version): want a release such as v0.1.0" ;;
v[0-9]*.[0-9]*.[0-9]*) ;;
*) fail "DEPLOYNOTIFY_VERSION (input version): want a release such as v0.1.0" ;;
esac
case $pinned in
*[!0-9a-f]*) fail "DEPLOYNOTIFY_CHECKSUMS (input checksums): want the SHA-256 of the release's checksums.txt, 64 lower-case hex digits" ;;
esac
[ ${#pinned} -eq 64 ] || fail "DEPLOYNOTIFY_CHECKSUMS (input checksums): want the SHA-256 of the release's checksums.txt, 64 lower-case hex digits"
case $mirror in
https://*) ;;
*) fail "DEPLOYNOTIFY_MIRROR: want a URL that begins with https://" ;;
esac

case $(uname -s) in
Linux) os=linux end= ;;
Darwin) os=darwin end= ;;
MINGW* | MSYS* | CYGWIN*) os=windows end=.exe ;;
*) fail "there is no binary for $(uname -s)" ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) fail "there is no binary for $(uname -m)" ;;
esac
name=deploynotify_${version#v}_${os}_$arch$end

dir=$(mktemp -d "${TMPDIR:-/tmp}/deploynotify.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fetch "$mirror/$version/checksums.txt" "$dir/checksums.txt"
verify "$dir/checksums.txt" "$pinned" checksums.txt
digest=
while read -r sum file; do
	[ "$file" != "$name" ] || digest=$sum
done <"$dir/checksums.txt"
[ -n "$digest" ] || fail "checksums.txt of $version does not list $name"
fetch "$mirror/$version/$name" "$dir/$name"
verify "$dir/$name" "$digest" "$name"
chmod 700 "$dir/$name"

# Run it in the background, so that this shell can pass signals on at once.
"$dir/$name" "$@" &
child=$! signaled=
trap 'signaled=1; kill -TERM "$child" 2>/dev/null || :' INT TERM
status=0
wait "$child" || status=$?
if [ -n "$signaled" ]; then
	wait "$child" || status=$?
fi
exit "$status"
