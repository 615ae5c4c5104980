#!/bin/sh
# Fetches into directory $1 what Debian 13 has of AppArmor: tst/, the folder of its parser's own tests, from the source package; generated.tar,
# the cases that the suite's generators write; root/, the package with apparmor_parser, and the C library that it wants. All of it comes through
# an apt configuration of its own, so that the system's needs no line for another release. apt checks the signatures.
set -eu
directory=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/sources" "$work/download" "$work/source" "$work/done/root"
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
apt source --download-only apparmor
tar -xf "$(ls ./*.orig.tar.*z)" --strip-components=1 -C "$work/source" --wildcards '*/parser/tst'
mv "$work/source/parser/tst" "$work/done/tst"

apt download apparmor libc6 libgcc-s1 libstdc++6
for archive in *.deb; do dpkg-deb -x "$archive" "$work/done/root"; done

cp -R "$work/done/tst" "$work/generate"
cd "$work/generate"
mkdir simple_tests/generated_x simple_tests/generated_perms_leading simple_tests/generated_perms_safe simple_tests/generated_dbus
/usr/bin/python3 gen-xtrans.py >&2
/usr/bin/python3 gen-dbus.py >&2
tar -cf "$work/done/generated.tar" simple_tests/generated_*

rm -rf "$directory.partial"
cp -R "$work/done" "$directory.partial"
mv "$directory.partial" "$directory"
