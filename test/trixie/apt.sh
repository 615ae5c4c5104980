# SPDX-License-Identifier: Apache-2.0
# The beginning of a script for Fetch: `apt` is Debian 13's, through a configuration of its own, so that the system's needs no line for another release, and checks the
# signatures. $work/download, the working directory, and $work/source are empty, $work/done is what is kept.
set -eu
directory=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/sources" "$work/download" "$work/source" "$work/done"
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
