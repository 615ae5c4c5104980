# SPDX-License-Identifier: Apache-2.0
# For trixie.Fetch, what Debian 13 has of AppArmor: tst/, the folder of its parser's own tests, from the source package; generated.tar, the cases that the suite's generators
# write; root/, the package with apparmor_parser, and the C library that it wants.
apt source --download-only apparmor
tar -xf "$(ls ./*.orig.tar.*z)" --strip-components=1 -C "$work/source" --wildcards '*/parser/tst'
mv "$work/source/parser/tst" "$work/done/tst"

apt download apparmor libc6 libgcc-s1 libstdc++6
mkdir "$work/done/root"
for archive in *.deb; do dpkg-deb -x "$archive" "$work/done/root"; done

cp -R "$work/done/tst" "$work/generate"
cd "$work/generate"
mkdir simple_tests/generated_x simple_tests/generated_perms_leading simple_tests/generated_perms_safe simple_tests/generated_dbus
/usr/bin/python3 gen-xtrans.py >&2
/usr/bin/python3 gen-dbus.py >&2
tar -cf "$work/done/generated.tar" simple_tests/generated_*
