#!/usr/bin/env bash
# Puts what goreleaser built into release/ under the names that checksums.txt
# lists, checks it, and writes the digest of checksums.txt to the job's outputs.
#
#   collect-release.sh TAG
set -euo pipefail
tag=$1
mkdir release
cp dist/checksums.txt LICENSE release/
python3 - <<'PYTHON' >release/.names
import json
for artifact in json.load(open("dist/artifacts.json")):
    if artifact["name"].startswith("deploynotify_"):
        print(artifact["path"], artifact["name"])
PYTHON
while read -r path name; do
	cp "$path" "release/$name"
done <release/.names
rm release/.names
cd release
sha256sum --check --strict checksums.txt
for target in linux_amd64 linux_arm64 darwin_amd64 darwin_arm64 windows_amd64.exe windows_arm64.exe; do
	grep -q "  deploynotify_${tag#v}_$target\$" checksums.txt || { echo "no binary for $target"; exit 1; }
	sbom=deploynotify_${tag#v}_${target%.exe}.cdx.json
	grep -q "  $sbom\$" checksums.txt || { echo "no SBOM for $target"; exit 1; }
	grep -q '"name": "github.com/google/uuid"' "$sbom" || { echo "$sbom lacks a dependency"; exit 1; }
done
binary=./deploynotify_${tag#v}_linux_amd64
chmod +x "$binary"
version=$("$binary" -version)
echo "$version"
case $version in
"deploynotify $tag "*) ;;
*) echo "-version does not print $tag" && exit 1 ;;
esac
case $(file "$binary") in
*"statically linked"*) ;;
*) echo "the binary is not static" && exit 1 ;;
esac
checksums=$(sha256sum <checksums.txt | cut -c 1-64)
echo "checksums=$checksums" >>"${GITHUB_OUTPUT:-/dev/stdout}"
