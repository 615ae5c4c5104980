# SPDX-License-Identifier: Apache-2.0
# For trixie.Fetch: Debian 13's secilc with the libraries that it wants, and in suites/ the policies that libsepol's source package tests its compiler with, and secilc's where the
# mirror has that.
apt download secilc libsepol2 libc6
for archive in *.deb; do dpkg-deb -x "$archive" "$work/done"; done
mkdir "$work/done/suites"
apt source --download-only --tar-only libsepol
apt source --download-only --tar-only secilc || echo "no source package of secilc" >&2
for archive in *.orig.tar.*z; do tar -xf "$archive" -C "$work/source"; done
cp "$work"/source/libsepol-*/cil/test/integration_testing/*.cil "$work/done/suites"
[ ! -d "$(echo "$work"/source/secilc-*/test)" ] || cp "$work"/source/secilc-*/test/*.cil "$work/done/suites"
