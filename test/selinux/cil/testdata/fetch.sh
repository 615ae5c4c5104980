#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches into directory $1 Debian 13's secilc with the libraries that it wants, and in suites/ the policies that libsepol's source package tests its compiler with, and
# secilc's where the mirror has that. All of it comes through an apt configuration of its own, so that the system's needs no line for another release. apt checks the
# signatures.
set -eu
directory=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/sources" "$work/download" "$work/root"
: >"$work/status"
cat >"$work/sources/trixie.sources" <<SOURCES
Types: deb deb-src
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Architectures: $(dpkg --print-architecture)
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
apt() {
	apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" -o Dir::State::lists="$work/lists" \
		-o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
apt update
cd "$work/download"
apt download secilc libsepol2 libc6
for archive in *.deb; do dpkg-deb -x "$archive" "$work/root"; done
mkdir "$work/root/suites" "$work/source"
apt source --download-only --tar-only libsepol
apt source --download-only --tar-only secilc || echo "no source package of secilc" >&2
for archive in *.orig.tar.*z; do tar -xf "$archive" -C "$work/source"; done
cp "$work"/source/libsepol-*/cil/test/integration_testing/*.cil "$work/root/suites"
[ ! -d "$(echo "$work"/source/secilc-*/test)" ] || cp "$work"/source/secilc-*/test/*.cil "$work/root/suites"
rm -rf "$directory.partial"
cp -R "$work/root" "$directory.partial"
mv "$directory.partial" "$directory"
