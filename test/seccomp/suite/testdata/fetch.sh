#!/bin/sh
# Fetches the source of libseccomp that this Debian release has into directory $1, through an apt configuration of its own, so that the system's
# needs no deb-src line. apt checks the signatures.
set -eu
directory=$1
. /etc/os-release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/sources" "$work/download"
cat >"$work/sources/source.sources" <<EOF
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: $VERSION_CODENAME
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
EOF
apt() {
	apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" -o Dir::State::lists="$work/lists" \
		-o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
apt update
cd "$work/download"
apt source --download-only libseccomp
mkdir -p "$directory.partial"
tar -xf "$(ls ./*.orig.tar.*z)" --strip-components=1 -C "$directory.partial"
mv "$directory.partial" "$directory"
